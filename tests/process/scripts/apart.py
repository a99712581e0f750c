# a child in the memory of its parent calls the function, and executes a program; then the process itself does
told = vforked = thread = ""
try:
    with (
        Session.open(f"pid:{pid}") as session,
        followed(session, "/tmp/visit.o", "apart", "visit", "guarded/slot") as (_, found),
    ):
        with session.target.stepper() as stepper:
            stepper.stop_at(found.local_entry)
            put("vfork")
            thread = stepper.run(60, lambda: False)
        vforked = said()
        with session.target.stepper() as stepper:
            stepper.stop_at(found.local_entry)
            put("exec")
            stepper.run(60, lambda: False)
except OddtocError as error:
    told = str(error)
answer(thread == f"p{pid:x}.{pid:x}", vforked, told, ask(), state())
