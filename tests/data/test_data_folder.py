import os

from kerasdnn.data import load
from kerasdnn.errors import InputError

import numpy as np
import pytest
from PIL import Image


def picture(path, size=(6, 8), value=100, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size[1], size[0]), value if mode in ("L", "I;16") else (value, 0, 0)).save(
        path
    )


@pytest.fixture
def folder(tmp_path):
    """Ten red and five dark pictures, of 6 x 8 pixels."""
    root = tmp_path / "pets"
    for i in range(10):
        picture(root / "cat" / f"{i}.png", value=200 + i)
    for i in range(5):
        picture(root / "dog" / f"{i}.jpg", value=20 + 9 * i)
    return root


def test_a_folder_is_split_by_class(folder):
    data = load(str(folder))
    assert data.x_train.shape == (12, 6, 8, 3)
    assert data.x_train.dtype == np.uint8
    assert np.bincount(data.y_test).tolist() == [2, 1]
    assert data.class_names == ("cat", "dog")
    assert data.name == "pets"
    assert data.task == "image"
    assert data.notes[0].startswith(f"split: {folder} has no test/, so 3 of 15 images")
    # The label goes with its picture.
    assert ((data.x_train[..., 0].mean((1, 2)) > 128) == (data.y_train == 0)).all()


def test_the_split_is_fixed_by_the_seed(folder):
    first, same, other = (load(folder, seed=seed) for seed in (0, 0, 5))
    assert np.array_equal(first.x_test, same.x_test)
    assert not np.array_equal(first.x_test, other.x_test)
    both = np.concatenate([first.x_train, first.x_test])
    assert len({image.tobytes() for image in both}) == 15


def test_train_and_test_folders_are_taken_as_they_are(tmp_path):
    for part, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            for i in range(count):
                picture(tmp_path / part / name / f"{i}.png", mode="L", value=i)
    picture(tmp_path / "train" / "c" / "0.png", mode="L")
    data = load(tmp_path)
    assert data.x_train.shape == (7, 6, 8, 1)
    assert data.y_test.tolist() == [0, 0, 1, 1]
    assert data.notes == ("no test images of: c",)


def test_grey_stays_grey_and_a_mixture_becomes_colour(folder, tmp_path):
    grey = tmp_path / "grey"
    for name in ("a", "b"):
        for i in range(3):
            picture(grey / name / f"{i}.png", mode="L")
    assert load(grey).x_train.shape == (4, 6, 8, 1)
    picture(folder / "dog" / "9.png", mode="L")
    data = load(folder)
    assert data.x_train.shape[-1] == 3
    assert "grey images among coloured ones are given three equal channels" in data.notes


def test_sixteen_bits_are_brought_to_eight(tmp_path):
    for name, value in (("a", 0x4000), ("b", 0xC000)):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png", mode="I;16", value=value)
    data = load(tmp_path)
    assert data.x_train.shape == (2, 6, 8, 1)
    assert sorted(data.x_train[:, 0, 0, 0].tolist()) == [0x40, 0xC0]


def test_several_sizes_become_the_commonest_and_it_is_said_once(folder):
    picture(folder / "cat" / "wide.png", size=(6, 30))
    picture(folder / "dog" / "tall.png", size=(40, 8))
    data = load(folder)
    assert data.x_train.shape[1:] == (6, 8, 3)
    assert [note for note in data.notes if "resized" in note] == [
        "resized: 2 of 17 images to 6 x 8 pixels"
    ]


def test_the_size_can_be_chosen(folder):
    data = load(folder, image_size=(12, 10))
    assert data.x_train.shape[1:] == (12, 10, 3)
    assert [note for note in data.notes if "resized" in note] == [
        "resized: 15 of 15 images to 12 x 10 pixels"
    ]


def test_a_photograph_stands_upright(tmp_path):
    for name in ("a", "b"):
        for i in range(2):
            path = tmp_path / name / f"{i}.jpg"
            picture(path)
            exif = Image.Exif()
            exif[0x0112] = 6  # turned by a quarter
            Image.open(path).save(path, exif=exif)
    assert load(tmp_path).x_train.shape[1:] == (8, 6, 3)


def test_a_limit_decodes_only_what_it_keeps(folder, monkeypatch):
    from kerasdnn.data import folder as module

    read = []
    original = module.read_image
    monkeypatch.setattr(module, "read_image", lambda *a: read.append(a) or original(*a))
    data = load(folder, limit=6)
    assert len(data.x_train) == 6
    assert sorted(set(data.y_train.tolist())) == [0, 1]
    assert len(read) == 6 + 3
    assert "subset: 6 of 12 training images (limit=6, seed 0)" in data.notes


def test_what_is_no_image_is_counted(folder):
    (folder / "README.txt").write_text("about")
    (folder / "cat" / "notes.txt").write_text("about")
    (folder / ".hidden").write_text("about")
    note = load(folder).notes[0]
    assert note == (
        f"ignored in {folder}: 2 entries that are no images in a class folder, such as README.txt"
    )


def refused(folder, message, **options):
    with pytest.raises(InputError, match=rf"(?s)^{message}$") as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)


def test_an_empty_folder(tmp_path):
    refused(tmp_path, r"An image folder needs at least two class folders; .* has 0\. Lay it out.*")


def test_a_folder_of_loose_images(tmp_path):
    picture(tmp_path / "0.png")
    refused(tmp_path, r"An image folder needs at least two class folders; .* has 0\. Lay it out.*")


def test_one_class(tmp_path):
    picture(tmp_path / "cat" / "0.png")
    refused(tmp_path, r".*at least two class folders; .* has 1\. Lay it out.*")


def test_an_empty_class(folder):
    (folder / "fish").mkdir()
    refused(folder, r"Every class folder should hold images .*fish holds none\. Fill it or.*")


def test_a_class_of_one_image(folder):
    picture(folder / "fish" / "0.png")
    refused(folder, r".*at least 2 samples of each class.*fish has 1\. Add.*")


def test_train_without_test(folder):
    (folder.parent / "all").mkdir()
    folder.rename(folder.parent / "all" / "train")
    refused(folder.parent / "all", r"train/ and test/ belong together; .* has no test/\. Add it.*")


def test_a_class_that_is_only_in_test(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/zebra"):
        picture(tmp_path / name / "0.png")
    refused(tmp_path, r"Every class of test/ should stand in train/.* has no zebra\. Add it.*")


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_an_unreadable_image(folder, damage):
    path = folder / "cat" / "3.png"
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-30], "text": b"no image", "empty": b""}[damage])
    refused(folder, rf"Every image should be .*{path} does not \(.*\)\. Replace it.*")


def test_a_truncated_photograph(folder):
    path = folder / "dog" / "0.jpg"
    path.write_bytes(path.read_bytes()[:-60])
    refused(folder, rf"Every image should be .*{path} does not \((image file is t|T)runcated.*")


def test_an_image_that_claims_to_be_huge(folder):
    # 12,000 x 12,000 white pixels: 20 KB in the file, 144 MB in memory.
    Image.new("1", (12_000, 12_000)).save(folder / "cat" / "bomb.png")
    refused(folder, r".*bomb\.png.*(exceeds limit|claims 12,000 x 12,000).*")


def test_an_image_just_under_the_limit_of_the_library(folder):
    Image.new("1", (8_000, 8_000)).save(folder / "cat" / "large.png")
    refused(folder, r"An image may have 50,000,000 pixels; .* claims 8,000 x 8,000\. Make it.*")


def test_pixels_of_an_unusual_type(folder):
    Image.new("F", (8, 6)).save(folder / "cat" / "float.tif")
    refused(folder, r"Images should have 8 or 16 bits.*type 'F'\. Save it as an 8-bit PNG\.")


def test_a_file_that_names_other_code_is_not_run(folder):
    # Pillow hands EPS to Ghostscript; under a false name it must stay an unreadable image.
    (folder / "cat" / "code.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    refused(folder, r"Every image should be .*code\.png does not.*")


def test_links_out_of_the_folder_are_refused(folder, tmp_path):
    picture(tmp_path / "outside.png")
    (folder / "cat" / "link.png").symlink_to(tmp_path / "outside.png")
    refused(folder, r".*should lie inside it; .*link\.png is a link to .*outside\.png\. Copy.*")


def test_a_class_that_is_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    picture(tmp_path / "elsewhere" / "0.png")
    (folder / "fish").symlink_to(tmp_path / "elsewhere")
    refused(folder, r".*should lie inside it; .*fish is a link to .*elsewhere\. Copy.*")


def test_links_within_the_folder_are_followed_and_broken_ones_named(folder):
    (folder / "cat" / "link.png").symlink_to(folder / "cat" / "0.png")
    assert len(load(folder).x_train) + len(load(folder).x_test) == 16
    (folder / "cat" / "loop.png").symlink_to(folder / "cat" / "loop.png")
    refused(folder, r"Every image should be .*loop\.png does not.*")


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "cat" / "pipe.png")
    assert "pipe.png" in load(folder).notes[0]


def test_a_limit_below_the_number_of_classes(folder):
    refused(folder, r".*each of the 2 classes.*limit=1\. Give 2 or more\.", limit=1)


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(folder), "iterdir", denied)
    refused(folder, r".*pets should be a folder that can be read; it cannot \(Permission.*")
