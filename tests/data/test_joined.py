"""Several data sets as one: names, scales, aspects, pictures that two of them have, and the authors' splits."""

import math
import shutil

import pytest

from data.ingest.joined import join
from data.ingest.samples import ingest
from data.tables.frames import read_table
from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from tests.labelled import write_noise


@pytest.fixture
def sets(tmp_path):
    """Read data sets in, each given as (its csv, the pictures that it has from another one); their folders by name."""

    def read(scale=(0, 5), **given):
        folders = {}
        for seed, (name, (table, same)) in enumerate(given.items()):
            source, rows = tmp_path / "sources" / name, table.splitlines()[1:]
            write_noise(source / "images", [row.split(",")[0] for row in rows if row], seed)
            for file, twin in same.items():
                shutil.copy(tmp_path / "sources" / twin, source / "images" / file)
            (source / "data.csv").write_text(table)
            folders[name] = tmp_path / "out/members" / name
            samples, _ = ingest("folder", [source], folders[name], scale=(0, 100) if name == "percent" else scale)
            samples.to_parquet(folders[name] / "samples.parquet")
        return folders

    return read


PHOTOS = ("name,prompt,mos_quality\n1.png,,4\n2.png,,2\n", {})
PERCENT = ("name,prompt,generator,mos_quality,mos_authenticity\n1.png,a cat,dall-e,50,20\n9.png,a dog,,,100\n", {})


def test_each_image_has_its_sets_name_its_own_scale_and_its_aspects(sets, tmp_path):
    folders = sets(photos=PHOTOS, percent=PERCENT)
    pictures = {path: path.read_bytes() for folder in folders.values() for path in (folder / "images").iterdir()}
    samples, about = join(folders, tmp_path / "out")
    rows = samples.set_index("image_id")
    assert list(rows.index) == ["percent_1", "percent_9", "photos_1", "photos_2"]
    assert list(rows["generator"]) == ["percent/dall-e", "percent", "photos", "photos"]
    assert list(rows["prompt"]) == ["a cat", "a dog", "", ""]
    assert list(rows["mos_quality"].fillna(-1)) == [2.5, -1, 4, 2]
    assert list(rows["mos_authenticity"].fillna(-1)) == [1, 5, -1, -1]
    for name, file in {"percent": "9.png", "photos": "2.png"}.items():
        moved = tmp_path / "out/images" / f"{name}_{file}"
        assert moved.read_bytes() == pictures[folders[name] / "images" / file]
    assert about == read_json(tmp_path / "out/about.json")
    assert (about["images"], about["scale"], about["left_out"]) == (4, [0, 5], {})
    assert about["unrated"] == {"quality": 1, "authenticity": 2}
    assert {name: of["images"] for name, of in about["of"].items()} == {"photos": 2, "percent": 2}
    assert not (tmp_path / "out/published_split.parquet").exists()


def test_a_picture_in_two_sets_is_one_image_with_what_both_say(sets, tmp_path):
    columns = "name,prompt,mos_quality,mos_correspondence,mos_authenticity"
    first = (f"{columns}\na.png,a cat,1,,\nb.png,a dog,2,,3\nc.png,a cow,3,,\n", {})
    second = (
        f"{columns}\n5.png,A cat.,5,4,5\n6.png,a wolf,5,4,5\n7.png,a hen,,,1\n8.png,a hen,,,1\n",
        {"5.png": "one/images/a.png", "6.png": "one/images/b.png", "8.png": "two/images/7.png"},
    )
    samples, about = join(sets(one=first, two=second), tmp_path / "out")
    rows = samples.set_index("image_id")
    assert list(rows.index) == ["one_a", "one_b", "one_c", "two_7", "two_8"]  # twins within a set are its own affair
    labels = [f"mos_{aspect}" for aspect in ("quality", "correspondence", "authenticity")]
    assert list(rows.loc["one_a", labels]) == [1, 4, 5]  # the same prompt; quality as the first has it
    assert rows.loc["one_b", "mos_quality"] == 2
    assert math.isnan(rows.loc["one_b", "mos_correspondence"])  # of a wolf
    assert rows.loc["one_b", "mos_authenticity"] == 3
    assert about["left_out"] == {"two: pictures that one has": 2}
    assert {path.name for path in (tmp_path / "out/images").iterdir()} == {f"{name}.png" for name in rows.index}


def test_the_authors_splits_become_one(sets, tmp_path):
    split = ("name,prompt,mos_quality,published_split\na.png,,1,train\nb.png,,2,test\nc.png,,3,test\n", {})
    plain = ("name,prompt,mos_quality\nd.png,,1\ne.png,,2\n", {"e.png": "split/images/c.png"})
    held = ("name,prompt,mos_quality,published_split\nf.png,,1,test\n", {"f.png": "plain/images/d.png"})
    _, about = join(sets(split=split, plain=plain, held=held), tmp_path / "out")
    own = read_table(tmp_path / "out/published_split.parquet").set_index("image_id")["split"].to_dict()
    assert own == {"split_a": "train", "split_b": "test", "split_c": "test", "plain_d": "test"}
    assert about["without_published_split"] == ["plain"]


def test_names_that_meet_are_refused(sets, tmp_path):
    one = ("name,prompt,mos_quality\nb_1.png,,1\n", {})
    other = ("name,prompt,mos_quality\n1.png,,1\n", {})
    with pytest.raises(InputError, match=r"joined: two images would be called 'a_b_1\.png'"):
        join(sets(a=one, a_b=other), tmp_path / "out")
