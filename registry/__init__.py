"""Accounts, units and title; who is covered and what they are allocated. Nothing here knows orders or prices."""
