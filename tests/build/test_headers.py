"""A changed header is followed to every file that it changes."""

import pytest

from oddtoc.build.fix import build_fix
from oddtoc.build.overlay import apply_diff, take_files
from oddtoc.build.reach import units_reached
from oddtoc.build.refusal import RefusedError
from oddtoc.build.slots import used_files
from oddtoc.build.tree import KernelTree
from oddtoc.build.unit import Flavour, compile_unit

PNODE = """--- a/fs/pnode.h
+++ b/fs/pnode.h
@@ -14,2 +14,2 @@
-#define IS_MNT_SHARED(m) ((m)->mnt.mnt_flags & MNT_SHARED)
+#define IS_MNT_SHARED(m) {new}
 #define IS_MNT_SLAVE(m) ((m)->mnt_master)
"""
BUILT = ["fs/mount.c", "fs/namespace.c", "fs/pnode.c", "fs/proc_namespace.c", "fs/pipe.c", "fs/seq_file.c"]


@pytest.fixture
def built(monkeypatch):
    """To ask kbuild for all of them takes a minute; the corpus does."""
    monkeypatch.setattr(KernelTree, "built_units", lambda _: BUILT)
    monkeypatch.setattr(KernelTree, "module_units", lambda _: {})


@pytest.fixture
def build(tree, image, tmp_path):
    def get(text):
        diff = tmp_path / "header.patch"
        diff.write_text(text)
        return build_fix(tree, apply_diff(tree.source, diff), image, tmp_path / "header.o")

    return get


@pytest.mark.usefixtures("built")
def test_every_file_that_a_header_changes_is_in_the_patch(build):
    fixed = build(PNODE.replace("{new}", "(((m)->mnt.mnt_flags & MNT_SHARED) && (m)->mnt_id >= 0)"))
    changed = {unit.file: unit.comparison.changed for unit in fixed.units}
    assert set(changed) == {"fs/namespace.c", "fs/pnode.c", "fs/proc_namespace.c"}
    assert changed["fs/proc_namespace.c"] == ["show_mountinfo"] and "sys_pivot_root" in changed["fs/namespace.c"]


@pytest.mark.usefixtures("built")
def test_a_header_that_changes_no_code_has_no_effect(build):
    with pytest.raises(RefusedError) as caught:
        build(PNODE.replace("{new}", "((m)->mnt.mnt_flags & (MNT_SHARED))"))
    assert [refusal.id for refusal in caught.value.refusals] == ["no-effect"]


@pytest.mark.usefixtures("built")
def test_what_is_reached_is_what_compilers_read(tree):
    """Told from text, more files may be reached than are made of a header, but never fewer."""
    for header in ("fs/pnode.h", "fs/mount.h", "include/linux/pipe_fs_i.h", "include/asm-generic/bug.h"):
        reached = set(units_reached(tree, [header]))
        for file in set(BUILT) - {"fs/mount.c"}:
            is_used = tree.source / header in used_files(compile_unit(tree, file, Flavour.COMPARED))
            assert file in reached or not is_used, (file, header)
    assert units_reached(tree, ["fs/pnode.h"]) == ["fs/namespace.c", "fs/pnode.c", "fs/proc_namespace.c"]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("header", ["include/linux/fs.h", "include/linux/kconfig.h"])
def test_a_header_that_reaches_too_much_is_refused(tree, header):
    with pytest.raises(RefusedError, match="reaches"):
        units_reached(tree, [header], most=2)


def test_a_header_is_reached_by_a_path_upwards_out_of_a_folder_that_does_not_change(tree, tmp_path):
    """fs/smb/server/mgmt/user_session.h includes ../smb_common.h, and fs/smb/server/smb_common.h changes."""
    name = "fs/smb/server/smb_common.h"
    changed = tmp_path / name
    changed.parent.mkdir(parents=True)
    changed.write_text((tree.source / name).read_text() + "#define FRESH 1\n")
    overlay = take_files(tree.source, tmp_path, [name])
    unit = compile_unit(tree, "fs/smb/server/auth.c", Flavour.COMPARED, overlay.root)
    assert (overlay.root / name).resolve() in {path.resolve() for path in used_files(unit)}
    overlay.check_used(unit)
