"""Who owes whom: fees, obligations from trades, delivery versus payment, statements.

Nothing here knows how a trade came about, nor where holdings are kept.
"""
