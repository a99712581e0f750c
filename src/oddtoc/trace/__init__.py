"""Calls counted and watched as they pass: functions are branched from, and go on as if nothing had been there."""
