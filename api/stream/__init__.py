"""The stream: what happens, by sequence number, to whoever subscribed; and orders, on the same socket.

| module    | what                                                                           |
|-----------|--------------------------------------------------------------------------------|
| frames    | what a client may send                                                         |
| messages  | what it is told                                                                |
| channels  | channels that tell of each event: trades, orders, fills, drop copy             |
| books     | the book in three grains: every order, the best levels, the best price         |
| states    | channels that tell how something stands: status, auction, balances, settlement |
| feed      | all channels, and one socket's places in them                                  |
| desk      | answers to frames: subscriptions, replays, orders                              |
| safety    | orders that go when their owner has gone                                       |
| asyncapi  | the document of all this, made from the same models                            |

There is no queue per subscriber: a subscriber is a place in its channels. Each channel is put into words once, however
many listen; twenty times a second each subscriber gets what is new since its place, in frames that are JSON arrays of
messages. So who reads slowly costs nothing, until what it has not read is not kept any more: then it is told so by a
last message and close code 4008. The conflated channels tell how things stand by now, and whoever missed something is
told how much.

`seq` numbers events since the journal began (channels of events and books) or commands (channels of states); `prev_seq`
is that of the message before in the same channel, so that a gap can't hide. What was told can be asked for again within
one session, the life of a serving process: `session_id` says which.
"""
