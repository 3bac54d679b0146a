"""The AVT-AI-Image-Dataset as its authors' repository has it."""

import pytest

from data.ingest.lookup import Files
from data.ingest.samples import ingest
from data.readers.avt_ai import read
from m3agiqa.errors import InputError
from tests.labelled import write_images

FILES = {
    "images/prompts.csv": "ID,prompts,category\np01,A red colored car,Drawbench\np25,Group of people,own\n",
    "quality_evaluation/all_ratings.csv": (
        "image_key,db,appeal_mean,appeal_std,realism_mean,prompt_matching_mean\n"
        "craiyon/p01,craiyon,2.6,1.3,2,4.5\nmidjourney/p25,midjourney,3.6,1.1,2.8,4.6\nown/p25,own,4.3,1,4.8,4.9\n"
    ),
    "evaluation_quality_appeal/quality.csv": (
        "image_key,rating,std,prompt\ncraiyon/p01,3,1.2,p01\nmidjourney/p25,2.8,1.2,p25\nown/p25,4,1,p25\n"
    ),
}


@pytest.fixture
def folder(tmp_path):
    def write(**changes):
        for name, text in (FILES | changes).items():
            path = tmp_path / "source" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        write_images(tmp_path / "source/images/craiyon", ["p01.png"])
        write_images(tmp_path / "source/images/own", ["p25.png"])
        return tmp_path / "source"

    return write


def test_two_studies_become_one_table(folder, tmp_path):
    samples, about = ingest("avt-ai", [folder()], tmp_path / "out", scale=(1, 5))
    (row,) = samples.itertuples()
    assert (row.image_id, row.path, row.prompt) == ("craiyon_p01", "images/craiyon_p01.png", "A red colored car")
    assert row.generator == "craiyon"
    assert (row.mos_quality, row.std_quality) == (2.5, 1.5)
    assert (row.mos_correspondence, row.mos_authenticity) == (4.375, 1.25)
    assert about["left_out"] == {"not published": 1, "a photograph": 1}


def test_the_missing_image_counts_where_it_is_there(folder, tmp_path):
    source = folder()
    write_images(source / "images/midjourney", ["p25.png"])
    samples, about = ingest("avt-ai", [source], tmp_path / "out", scale=(1, 5))
    assert list(samples["image_id"]) == ["craiyon_p01", "midjourney_p25"]
    assert about["left_out"] == {"a photograph": 1}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("images/prompts.csv", r"row 2: no prompt 'p01' in prompts\.csv"),
        ("evaluation_quality_appeal/quality.csv", r"row 2: image_key 'craiyon/p01' is not in quality\.csv"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(folder, name, expected):
    source = folder(**{name: FILES[name].replace("p01", "p02")})
    with pytest.raises(InputError, match=expected):
        list(read(Files([source]), (1, 5)))


def test_a_folder_of_your_own_is_read_as_such(folder, tmp_path):
    source = folder()
    write_images(source / "images", ["a.jpg"])
    (source / "data.csv").write_text("name,prompt,generator,mos_quality\na.jpg,a cat,glide,3\n")
    samples, about = ingest("avt-ai", [source], tmp_path / "out", scale=(1, 5))
    assert list(samples[["image_id", "generator", "mos_quality"]].iloc[0]) == ["a", "glide", 2.5]
    assert about["left_out"] == {}
