"""Who may: signatures of patch objects, the policy that asks for them, and the log of what was done."""
