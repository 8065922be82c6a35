"""Websocket events, run by the workers: echo to the sender, or broadcast to everybody."""

from channels import Group

BROADCAST_PREFIX = "all:"


def everybody():
    # Not a module constant: a Group needs the channel layer, which imports this module.
    return Group("everybody")


def connect(message):
    # Joining before accepting: an open socket never misses a broadcast.
    everybody().add(message.reply_channel)
    message.reply_channel.send({"accept": True})


def receive(message):
    text = message["text"]
    if text.startswith(BROADCAST_PREFIX):
        everybody().send({"text": text})
    else:
        message.reply_channel.send({"text": "echo:" + text})


def disconnect(message):
    everybody().discard(message.reply_channel)
