"""Research: read real order flow, replay it, change one thing, measure what moved.

    messages     the one vocabulary into which every flow is read: what happened to resting orders
    lobster      LOBSTER message and order-book files
    itch         NASDAQ ITCH 5.0
    mbo          Databento market by order
    flows        our own order-flow files in parts; told: as a vendor would tell them
    own_journal  the exchange's own journal
    sources      files recognised, opened, validated, whatever their format
    convert      from any format to ours, ITCH and LOBSTER
    reported     replay as reported: every message taken at its word, the book proved against the vendor's
    rematched    replay re-matched: aggressors inferred, everything matched again by the compiled book
    window       what a sample does not say: the book before it, and what came into view unannounced
    orders, levels   the orders that rest, and their sums, followed message by message
    schedule, strategy, counterfactual   one thing changed, and what moved
    tape, taped  what a run of the book looked like, of a flow, of events or of a journal
    measures     statistics of market quality
    page         statistics and plots as a page that opens offline
    generator    order flow from a seed: zero intelligence, Hawkes; whole days and years
    exports, what   tables of a journal as Parquet or Arrow

The guides for researchers are beside this file: README.md, measuring.md, exports.md, sweeps.md, generating.md.
"""
