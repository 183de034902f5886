"""Accounts, units and title. Nothing here knows orders or prices."""
