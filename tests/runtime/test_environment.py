import importlib
import json
import shutil
import subprocess

import kerasdnn

import keras
import numpy as np
import pytest

# The function of the same name hides the module in `kerasdnn.runtime`.
module = importlib.import_module("kerasdnn.runtime.environment")


def test_facts_of_this_run():
    facts = module.environment()
    json.dumps(facts)  # goes into result.json
    assert facts["backend"] == keras.backend.backend()
    versions = facts["versions"]
    assert versions["keras"] == keras.__version__
    assert versions["numpy"] == np.__version__
    assert versions["kerasdnn"] == kerasdnn.__version__
    assert versions[facts["backend"]][0].isdigit()
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["memory_gb"] > 0.1


def test_nothing_is_raised_where_facts_are_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")  # no git
    monkeypatch.delattr(module.os, "sysconf")  # not a POSIX system
    facts = module.environment()
    assert facts["git"] is None
    assert facts["machine"]["memory_gb"] is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_is_that_of_a_checkout_which_tracks_the_package(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (tmp_path / "__init__.py").write_text("x = 1\n")
    assert module._commit(tmp_path) is None  # installed inside somebody else's checkout
    git("add", ".")
    git("commit", "-qm", "one")
    assert module._commit(tmp_path) == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "__init__.py").write_text("x = 2\n")
    assert module._commit(tmp_path) == git("rev-parse", "--short=12", "HEAD") + "-dirty"
