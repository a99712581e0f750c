"""A part of a fix, when it is asked for: without what is refused, and without all that may belong to that."""

import json

import jsonschema
import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.newer import take_newer
from oddtoc.build.part import ChangedFile, Headers, NotWholeError, build_in_part, leave_out
from oddtoc.build.refusal import Refusal, RefusedError
from oddtoc.report import fixes
from oddtoc.report.schemas import schema_of

PIPE = "fs/pipe.c"
AT_BOOT = "int err = register_filesystem(&pipe_fs_type);"
OLD = """
struct thing {
	int size;
};
static int limit = 1;

static int one(struct thing *thing)
{
	return thing->size;
}

static int two(struct thing *thing)
{
	return one(thing) + limit;
}

static int three(int value)
{
	return value;
}

static int four(int value)
{
	return three(value);
}
"""


def left(*changes, refusal):
    new = OLD
    for before, after in changes:
        assert before in new
        new = new.replace(before, after, 1)
    found = leave_out({"a.c": ChangedFile(OLD, new)}, [refusal], [], Headers())
    return {one.name for one in found}, new


def layout(member):
    return Refusal("layout", "a.c", "thing", f"has no member {member} in the running kernel", member)


ONE = ("return thing->size;", "return thing->more;")
THREE = ("return value;", "return value + 1;")


def test_a_change_that_shares_nothing_with_what_is_refused_stays():
    found, new = left(ONE, THREE, refusal=layout("more"))
    assert found == {"one"}
    assert ChangedFile(OLD, new).without(found) == OLD.replace(*THREE)
    assert ChangedFile(OLD, new).without(set()) == new


@pytest.mark.parametrize(
    ("change", "tied"),
    [
        # it calls what stays old; is called by it; asks for the same member; uses the same new name
        (("return one(thing) + limit;", "return one(thing);"), "two"),
        (("return three(value);", "return one((void *)(long)value);"), "four"),
        (("return three(value);", "return ((struct thing *)0)->more;"), "four"),
        (("return value;", "return three_new(value) + more;"), "three"),
    ],
    ids=["calls", "newly-calls", "member", "new-name"],
)
def test_what_may_belong_to_it_is_left_out_too(change, tied):
    found, new = left(ONE, change, refusal=layout("more"))
    assert found == {"one", tied}
    assert ChangedFile(OLD, new).without(found) == OLD


def test_what_belongs_to_what_belongs_to_it_is_left_out_too():
    """A new variable that a refused function fills, a function that reads it, and one that calls that."""
    changes = (
        ("static int limit = 1;\n", "static int limit = 1;\nstatic int fresh;\n"),
        ("return thing->size;", "return fresh = thing->more;"),
        (THREE[0], "return value + fresh;"),
        ("return three(value);", "return three(value) * 2;"),
    )
    found, new = left(*changes, refusal=layout("more"))
    assert found == {"one", "fresh", "three", "four"}
    assert ChangedFile(OLD, new).without(found) == OLD


def test_a_function_that_is_gone_comes_back_with_what_it_belongs_to():
    gone = "static int three(int value)\n{\n\treturn value;\n}\n\n"
    changes = ((gone, ""), ("return three(value);", "return ((struct thing *)0)->more;"))
    found, new = left(*changes, refusal=layout("more"))
    assert found == {"three", "four"} and ChangedFile(OLD, new).without(found) == OLD


@pytest.mark.parametrize(
    ("now", "tied"),
    [
        ("READ_ONCE(that->size)", set()),
        ("that->size + that->size", {"one"}),
    ],
    ids=["as-often", "more-often"],
)
def test_items_that_differ_in_how_they_read_a_member_are_tied_only_where_one_comes_to_access_it(now, tied):
    changes = (
        ("int one(struct thing *thing)\n{\n\treturn thing->size;", f"int one(struct thing *that)\n{{\n\treturn {now};"),
        (THREE[0], "return value->size + value->more;"),
    )
    found, _ = left(*changes, refusal=layout("more"))
    assert found == {"three", *tied}


@pytest.fixture
def newer(tree, tmp_path):
    """A tree with other texts in fs/pipe.c."""

    def get(*changes):
        text = (tree.source / PIPE).read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after, 1)
        (tmp_path / "fs").mkdir()
        (tmp_path / PIPE).write_text(text)
        (tmp_path / "include").symlink_to(tree.source / "include")
        (tmp_path / "arch").symlink_to(tree.source / "arch")
        (tmp_path / "fs/internal.h").symlink_to(tree.source / "fs/internal.h")
        return tmp_path

    return get


def test_a_patch_of_a_part_says_what_is_not_in_it(tree, image, newer, tmp_path, monkeypatch):
    root = newer((AT_BOOT, "int err = 0;"), ("retval = 0;", "retval = 1;"))
    with pytest.raises(RefusedError) as caught:
        build_fix(tree, take_newer(tree, root, [PIPE], image), image, tmp_path / "part.o")
    assert {(r.id, r.subject) for r in caught.value.refusals} == {("init-code", "init_pipe_fs")}
    fix = build_in_part(tree, root, [PIPE], image, tmp_path / "part.o")
    assert [r.function for r in fix.patch.replacements] == ["pipe_fasync"]
    plain = json.loads(fixes.fix_json(fix, tmp_path / "part.o"))
    jsonschema.validate(plain, schema_of("build"))
    assert [(one["file"], one["name"]) for one in plain["left_out"]] == [(PIPE, "init_pipe_fs")]
    assert "init_pipe_fs of fs/pipe.c, init-code:" in fixes.fix_text(fix, tmp_path / "part.o")
    # what came of the whole is not found out again
    tried = []
    monkeypatch.setattr("oddtoc.build.part.take_newer", lambda *words: tried.append(words) or take_newer(*words))
    again = build_in_part(tree, root, [PIPE], image, tmp_path / "part.o", refused=caught.value)
    assert again.left_out == fix.left_out and len(tried) == 1
    # nothing is compiled to learn that a file of which nothing may be left out is not whole
    with pytest.raises(NotWholeError) as not_whole:
        build_in_part(tree, root, [PIPE], image, tmp_path / "part.o", refused=caught.value, whole=[PIPE])
    assert not_whole.value.refusals == caught.value.refusals and len(tried) == 1


def test_a_fix_that_depends_on_what_is_refused_is_refused(tree, image, newer, tmp_path):
    """The function reads what only the code of boot would have set."""
    root = newer(
        ("static unsigned int pipe_max_size", "static int mine;\nstatic unsigned int pipe_max_size"),
        (AT_BOOT, "int err = mine = register_filesystem(&pipe_fs_type);"),
        ("retval = 0;", "retval = mine;"),
    )
    with pytest.raises(RefusedError) as caught:
        build_in_part(tree, root, [PIPE], image, tmp_path / "part.o")
    assert ("init-code", "init_pipe_fs") in {(r.id, r.subject) for r in caught.value.refusals}
