"""What tests do behind themselves."""


def revert_all(session, **options):
    """Take every patch back, the one on top first."""
    for status in reversed(session.status()):
        if status.present:
            session.revert(status.record.name, **options)
