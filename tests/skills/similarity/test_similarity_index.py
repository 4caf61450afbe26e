import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from word_vectors import embed_words, write_skill

from skillfleet_nb.errors import InputError, NotFoundError
from skillfleet_nb.skills.similarity.index import SimilarityIndex


class Counting:
    """Remembers which texts it was asked to embed."""

    fingerprint = "words"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += texts
        return embed_words(texts)


def paths(index: SimilarityIndex) -> set[str]:
    return {match.path for match in index.query("anything", k=1000).matches}


def test_build_then_query_finds_the_skill_and_says_why(index: SimilarityIndex, tree: Path) -> None:
    report = index.build(tree)
    assert (report.added, report.changed, report.removed, report.unchanged) == (3, 0, 0, 0)
    found = index.query("fill pdf forms in documents", k=2)
    assert found.matches[0].path == "pdf-forms"
    assert len(found.matches) == 2
    assert found.verdict == "extend pdf-forms"
    assert "terms document, fill, form, pdf" in found.matches[0].reason
    assert "pdf-forms" in found.text()
    assert "<table" in found._repr_html_()
    assert json.loads(found.model_dump_json())["verdict"] == found.verdict


def test_a_topic_of_the_body_is_found_and_its_heading_named(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    best = index.query("squash join").matches[0]
    assert best.path == "git-rebase"
    assert "headings Squash" in best.reason


def test_an_unknown_topic_is_new(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    assert index.query("zebra xylophone").verdict == "new"


def test_a_second_build_embeds_nothing_and_a_third_only_what_changed(tmp_path: Path, tree: Path) -> None:
    embed = Counting()
    index = SimilarityIndex(tmp_path / "v", embed)
    index.build(tree)
    embed.texts.clear()
    assert index.build(tree).unchanged == 3
    assert embed.texts == []
    write_skill(
        tree / "pdf-forms", "Fill forms in PDF documents.", "## Fields\n\nRead fields.\n\n## Fonts\n\nShow fonts."
    )
    write_skill(tree / "new-one", "Something else.", "")
    (tree / "git-rebase" / "SKILL.md").unlink()
    report = index.build(tree)
    assert (report.added, report.changed, report.removed, report.unchanged) == (1, 1, 1, 1)
    assert sorted(embed.texts) == ["# T", "## Fonts Show fonts.", "new one. Something else."]
    assert paths(index) == {"pdf-forms", "web/css-grid", "new-one"}


def test_moved_skills_keep_their_vectors(tmp_path: Path, tree: Path) -> None:
    embed = Counting()
    index = SimilarityIndex(tmp_path / "v", embed)
    index.build(tree)
    embed.texts.clear()
    (tree / "git-rebase").rename(tree / "web" / "git-rebase")
    report = index.build(tree)
    assert (report.added, report.removed, embed.texts) == (1, 1, [])
    assert "web/git-rebase" in paths(index)


def test_update_of_one_skill(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    file = write_skill(tree / "git-rebase", "Bisect a regression.", "")
    assert index.status().changed == ("git-rebase",)
    assert index.update(file).changed == 1
    assert index.update(file.parent).unchanged == 1
    assert index.query("bisect regression").verdict == "extend git-rebase"
    file.unlink()
    assert index.update(file).removed == 1
    assert paths(index) == {"pdf-forms", "web/css-grid"}
    with pytest.raises(NotFoundError, match="no skill"):
        index.update(file)
    write_skill(tree / "git-rebase", "Back again.", "")
    assert index.update(file).added == 1
    assert index.status().state == "current"


def test_many_updates_leave_few_files_and_every_skill(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    for number in range(70):
        index.update(write_skill(tree / f"made-{number}", f"Skill number{number}.", "Text."))
        if number % 3 == 0:
            (tree / f"made-{number}" / "SKILL.md").unlink()
            index.update(tree / f"made-{number}")
    left = {f"made-{n}" for n in range(70) if n % 3} | {"pdf-forms", "web/css-grid", "git-rebase"}
    assert paths(index) == left
    assert index.status().segments <= 33
    index.build(tree)
    assert (paths(index), index.status().segments) == (left, 1)
    assert len(list(index.folder.glob("*.npy"))) == 2


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([None, "one", "two"]), st.booleans()), max_size=12))
def test_any_sequence_of_changes_ends_where_a_fresh_build_does(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str | None, bool]]
) -> None:
    place = tmp_path_factory.mktemp("case")
    tree = place / "skills"
    write_skill(tree / "keep", "Stays.", "")
    index, fresh = SimilarityIndex(place / "v", embed_words), SimilarityIndex(place / "w", embed_words)
    index.build(tree)
    for name, text, rebuild in changes:
        file = tree / name / "SKILL.md"
        if text is None and not file.exists():
            continue
        if text is None:
            file.unlink()
        else:
            write_skill(tree / name, f"Does {text}.", f"## {text}\n\nText.")
        index.build(tree) if rebuild else index.update(file)
    fresh.build(tree)
    assert index.query("does one", 9).matches == fresh.query("does one", 9).matches
    assert index.status().state == "current"


def test_readers_hold_a_consistent_snapshot_while_others_write(tmp_path: Path, tree: Path) -> None:
    writer, reader = (SimilarityIndex(tmp_path / "v", embed_words) for _ in range(2))
    writer.build(tree)
    before = reader._files.read()
    assert before is not None
    write_skill(tree / "git-rebase", "Entirely different.", "")
    writer.build(tree)
    assert before.find("git-rebase") is not None  # merged away on disk, still mapped here
    assert float(before.segments[0].skills.sum()) > 0
    assert reader.query("entirely different").verdict == "extend git-rebase"


def _write_some(folder: Path, tree: Path, worker: int) -> None:
    index = SimilarityIndex(folder, embed_words)
    for number in range(8):
        index.update(write_skill(tree / f"w{worker}-{number}", f"Worker {worker} wrote {number}.", "Text."))
        found = index.query("anything", k=1000)
        assert {m.path for m in found.matches} >= {f"w{worker}-{n}" for n in range(number + 1)}


def test_several_processes_lose_no_update(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_write_some, args=(index.folder, tree, n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(paths(index)) == 3 + 4 * 8
    assert index.status().state == "current"


def test_what_a_crash_left_behind_is_cleared_and_harmless(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    (index.folder / "0123456789abcdef.skills.npy").write_bytes(b"half a segm")
    assert len(paths(index)) == 3
    index.update(write_skill(tree / "new", "New.", ""))
    assert not (index.folder / "0123456789abcdef.skills.npy").exists()


def test_no_pickle_is_read_or_written(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    for file in index.folder.glob("*.npy"):
        assert np.load(file, allow_pickle=False).dtype == np.float32


def test_near_duplicates_of_a_tree(index: SimilarityIndex, tree: Path) -> None:
    write_skill(
        tree / "copy",
        "Fill forms in PDF documents.",
        "## Fields\n\nRead fields.\n\n## Fonts\n\nEmbed fonts.",
        "pdf-forms",
    )
    index.build(tree)
    report = index.duplicates()
    assert [(p.first, p.second) for p in report.pairs] == [("copy", "pdf-forms")]
    assert report.pairs[0].score == pytest.approx(1)
    assert "headings T, Fields, Fonts" in report.pairs[0].reason
    assert "1 near-duplicate pair among 4 skills" in report.text()


def test_duplicates_agree_with_comparing_every_pair(index: SimilarityIndex, tmp_path: Path) -> None:
    words = ["read", "write", "form", "page", "grid", "commit"]
    rng = np.random.default_rng(7)
    for number in range(40):
        write_skill(
            tmp_path / "t" / f"s{number}", " ".join(rng.choice(words, 4)), " ".join(rng.choice(words, 6)), "same"
        )
    index.build(tmp_path / "t")
    index.update(write_skill(tmp_path / "t" / "s0", "grid grid commit", "page", "same"))
    snapshot = index._files.read()
    assert snapshot is not None
    flat = {s.entries[r].path: s.skills[r] for s, r in snapshot.live()}
    wanted = {tuple(sorted((a, b))) for a in flat for b in flat if a < b and (flat[a] * flat[b]).sum() / 2 >= 0.9}
    assert {tuple(sorted((p.first, p.second))) for p in index.duplicates(0.9).pairs} == wanted


def test_an_empty_tree_and_skills_that_cannot_be_read(index: SimilarityIndex, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert index.build(tmp_path / "empty").added == 0
    assert (index.query("anything").verdict, index.duplicates().pairs) == ("new", ())
    assert index.update(write_skill(tmp_path / "empty" / "first", "First.", "")).added == 1
    assert paths(index) == {"first"}
    (tree / "broken").mkdir()
    (tree / "broken" / "SKILL.md").symlink_to(tree / "nowhere")
    write_skill(tree / "odd", '"\\ud800 half a character"', "")
    report = index.build(tree)
    assert [path for path, _ in report.problems] == ["broken"]
    assert report.added == 4


def test_what_cannot_be_done_is_said_in_one_line(index: SimilarityIndex, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="run skillfleet skill index build --root FOLDER first"):
        index.query("anything")
    assert index.status().state == "missing"
    with pytest.raises(NotFoundError, match="no folder"):
        index.build(tmp_path / "nowhere")
    index.build(tree)
    with pytest.raises(InputError, match="query is empty"):
        index.query("  ")
    with pytest.raises(InputError, match="k 0"):
        index.query("a", k=0)
    with pytest.raises(InputError, match="threshold 0"):
        index.duplicates(0)
    with pytest.raises(InputError, match="is not under"):
        index.update(write_skill(tmp_path / "elsewhere" / "a", "A.", ""))


def test_vectors_of_another_model_are_not_compared(index: SimilarityIndex, tree: Path) -> None:
    index.build(tree)
    other = SimilarityIndex(index.folder, Counting())
    assert other.status().state == "other model"
    with pytest.raises(InputError, match="index build"):
        other.query("forms")
    assert other.build(tree).embedded > 0
    assert other.query("fill forms").matches[0].path == "pdf-forms"
