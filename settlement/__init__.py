"""Who owes whom: fees, obligations from trades, netting, delivery versus payment, fails, statements.

Nothing here knows how a trade came about, nor where holdings are kept.
"""
