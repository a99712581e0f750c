"""The answers of the commands that make, judge, apply and revert patches."""

from __future__ import annotations

from typing import Final

from oddtoc.build.refusal import WAYS_OUT
from oddtoc.check.finding import RULES, Severity
from oddtoc.live.journal import Condition
from oddtoc.report.schemas.parts import (
    Schema,
    address,
    count,
    either,
    flag,
    listing,
    mapping,
    nullable,
    record,
    seconds,
    text,
    texts,
)

_PATCH: Final = text("the patch's name")
_PATH: Final = text("the patch object's file")
_MECHANISM: Final = text("how calls are redirected, such as shared-toc")

_CHANGE: Final = record(
    "a word that is changed",
    address=address("where"),
    old=address("the word before"),
    new=address("the word after"),
    role=text("what it is: the mark, the branch, ..."),
)
_FUNCTION_PARTS: Final[dict[str, Schema]] = {
    "name": text("the function that is replaced"),
    "mechanism": _MECHANISM,
    "entry": address("its global entry"),
    "branch_at": address("the word that becomes the branch"),
    "branch_to": address("where the branch goes: the trampoline or the replacement"),
    "island": nullable(address("the island by which it goes there, where a branch does not reach")),
    "changes": listing("the words of the function that change", _CHANGE),
}
_FUNCTION: Final = record("a function", **_FUNCTION_PARTS)
_FUNCTIONS: Final = listing("the functions that are replaced", _FUNCTION)
_PAUSE: Final = record(
    "how long the target stood still",
    commit_seconds=seconds("while the words changed"),
    longest_seconds=seconds("the longest stop"),
    total_seconds=seconds("all stops together"),
    stops=count("how many there were"),
    commit_round_trips=count("requests to the debug server within the commit"),
)
REFUSALS: Final = listing(
    "all that is in the way of building the patch",
    record(
        "one thing that is in the way",
        id=text("the kind", *WAYS_OUT),
        file=text("the C file, relative to the tree"),
        subject=text("the function, data, structure or section concerned"),
        reason=text("in words"),
        member=text("the member of the structure, or the constant of the enumeration; empty where there is none"),
        way_out=text("what can be done instead"),
    ),
)

_HEADER_CHANGES: Final = listing(
    "changes of headers",
    record(
        "a change of a header",
        header=text("relative to the tree"),
        kind=text("macro, type, function, ..."),
        name=text("what is defined there"),
        is_new=flag("whether the older header lacks it"),
        is_mentioned=flag("whether the changed code names it"),
    ),
)

BUILD: Final = record(
    "the patch object that was made",
    {
        "left_out": listing(
            "only for patches from a fix of the source: what of the fix is not in it, because --in-part was given",
            record(
                "a change that is left out",
                file=text("the C file, relative to the tree"),
                name=text("the function, variable, type or macro"),
                reason=text("what it is refused for, or what it may belong to"),
            ),
        ),
        "written_in_place": texts(
            "only for patches from a fix of the source: variables whose new first values are written in place"
        ),
        "confined": mapping(
            "only for patches from a fix of the source: structures of which --confined says that no object is there",
            texts("the functions that their objects exist in"),
        ),
        "in_padding": mapping(
            "only for patches from a fix of the source: structures that --in-padding was told of",
            texts("their new members"),
        ),
        "headers": record(
            "only for patches from a fix of the source: what became of newer headers",
            taken=_HEADER_CHANGES,
            left=_HEADER_CHANGES,
        ),
        "files": listing(
            "only for patches from a fix of the source: what became of each file",
            record(
                "a C file",
                file=text("relative to the tree"),
                changed=texts("functions whose code changed"),
                new=texts("functions that are new"),
                removed=texts("functions that are gone"),
                ran_at_boot=texts("functions that only ran at boot, before what they call has changed"),
                on_stacks=texts("structures that are laid out anew, as all objects of them are on stacks"),
                beside=texts("exported functions that take or return something else now: for others they stay"),
                running_as_compiled=count("functions of the old source that are the code that runs"),
                different=mapping("those that are not", text("how they differ")),
                overridden=texts("weak functions in whose place another one runs"),
            ),
        ),
    },
    patch=_PATCH,
    path=_PATH,
    bytes=count("code and data, in bytes"),
    callbacks=texts("when functions of the patch run: pre_patch, post_patch, pre_unpatch, post_unpatch"),
    replacements=listing(
        "what replaces what",
        record(
            "a replacement",
            image=text("vmlinux, or the file of a program or library"),
            function=text("the function that is replaced"),
            by=text("the function that replaces it"),
        ),
    ),
)

CHECK: Final = record(
    "the findings; --format sarif gives them in SARIF 2.1.0",
    patch=_PATH,
    findings=listing(
        "each finding",
        record(
            "a finding",
            id=text("its rule", *RULES),
            severity=text("an error stops an apply", *(one.value for one in Severity)),
            place=text("the function, or section and offset"),
            reason=text("in words"),
        ),
    ),
)

_PART: Final = {
    "patch": _PATCH,
    "changed": flag("false when it was applied already"),
    "replaced": texts("patches in whose place it is"),
    "functions": _FUNCTIONS,
    "stacks_checked": flag("whether nobody stood in what changed; false with --immediate"),
    "pause": _PAUSE,
}
_WAITING: Final = texts("further parts of the patch whose modules are not loaded")
APPLIED: Final = record(
    "what is in force now",
    **_PART,
    parts=listing("further parts of the patch that are in force", record("a part", **_PART)),
    waiting=_WAITING,
)
_PLAN_PART: Final[dict[str, Schema]] = {
    "patch": _PATCH,
    "mechanism": _MECHANISM,
    "payload": listing(
        "parts of the payload",
        record("a part", what=text("what it is"), address=address("where"), bytes=text("its bytes, in hexadecimal")),
    ),
    "record": record("the record", address=address("where"), bytes=text("its bytes, in hexadecimal")),
    "already_applied": flag("then nothing would be written"),
    "replaces": texts("patches in whose place it would be"),
    "functions": _FUNCTIONS,
}
_PLAN: Final = record(
    "with --dry-run: what would be written",
    **_PLAN_PART,
    parts=listing("further parts of the patch that come in the same stop", record("a part", **_PLAN_PART)),
    behind=texts("further parts that can't be planned before the kernel has given room for them"),
    waiting=_WAITING,
)
APPLY: Final = either("what an apply did, or would do", APPLIED, _PLAN)

STATUS: Final = listing(
    "the patches that are recorded, oldest first",
    record(
        "a patch",
        patch=_PATCH,
        condition=text("what the live words say", *(one.value for one in Condition)),
        sha256=text("of the patch object"),
        time=count("when it was applied, in seconds since 1970"),
        temporary=flag("whether it is a trace, whose command has ended"),
        module=nullable(text("the module that it changes; null for the kernel proper, and in a process")),
        pinned=nullable(text("why its memory is never given back")),
        needs=texts("the parts of the same patch in which is what it uses: they are reverted with it or after it"),
        replaced_all=flag("whether it took the place of all that was applied"),
        states=mapping("number of each state that it declares", count("the version")),
        callbacks=mapping("when", address("the callback")),
        payload=listing(
            "the memory that its payload holds",
            record(
                "a span",
                area=text("text for code, data for what is written, ..."),
                address=address("the first byte"),
                size=count("bytes"),
            ),
        ),
        functions=listing(
            "its functions",
            record(
                "a function",
                **_FUNCTION_PARTS,
                condition=text("what the live words say", *(one.value for one in Condition)),
            ),
        ),
    ),
)

REVERT: Final = either(
    "what a revert did, or would do",
    record(
        "what was taken back",
        patch=_PATCH,
        stacks_checked=flag("whether nobody stood in what changed; false with --immediate"),
        pause=_PAUSE,
    ),
    record("with --dry-run: what would be written", patch=_PATCH, functions=_FUNCTIONS),
)

GC: Final = record(
    "what memory is given back",
    dry_run=flag("whether it only would be"),
    bytes=count("how many bytes"),
    freed=texts("the patches whose memory it was"),
    kept=listing("those that keep theirs", record("a patch", patch=_PATCH, reason=text("why"))),
)

SIGN: Final = record("the signature that was made", path=_PATH, signature=text("the signature's file"))
VERIFY: Final = record(
    "a signature that is good", path=_PATH, signer=text("who signed it, as allowed signers name them")
)

TOP: Final = record(
    "one look at a target",
    patches=listing(
        "the patches that are recorded, oldest first",
        record(
            "a patch",
            name=_PATCH,
            condition=text("what the live words say", *(one.value for one in Condition)),
            functions=listing(
                "the functions that it replaces",
                record(
                    "a function",
                    name=text("the function"),
                    mechanism=_MECHANISM,
                    condition=text("what the live words say", *(one.value for one in Condition)),
                    calls=nullable(count("calls, where they are counted")),
                    rate=nullable({"type": "number", "description": "calls in a second, where they are counted"}),
                ),
            ),
            in_the_way=texts("who could not be passed if it were reverted now, with the stack; empty if nobody"),
        ),
    ),
    pauses=count("stops of the target"),
    longest=seconds("the longest of them"),
    total=seconds("all of them together"),
)
