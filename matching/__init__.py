"""Orders and prices: the readable book, the same book compiled, and the rules that price a trade.

Nothing here knows accounts, cash, units or sessions; an order's owner is an opaque number.
"""
