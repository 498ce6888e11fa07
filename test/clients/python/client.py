"""Apache's Python client, driven by the test: commands come as lines of JSON on standard input, each is answered by one line
on standard output. ../driver.ts says what the commands are; the judge is ../clients.test.ts."""

import json
import os
import sys
import threading
import time

from rocketmq import (
    ClientConfiguration,
    ConsumeResult,
    Credentials,
    FilterExpression,
    Message,
    MessageListener,
    Producer,
    PushConsumer,
    SimpleConsumer,
    TransactionChecker,
    TransactionResolution,
)
from rocketmq.grpc_protocol import FilterType

tls = os.environ.get("CLIENT_TLS") == "true"
username = os.environ.get("CLIENT_USERNAME", "")
password = os.environ.get("CLIENT_PASSWORD", "")
credentials = Credentials(username, password) if username else Credentials()

state = {"producer": None}
simple = {}
push = {}
received = {}


def configuration():
    return ClientConfiguration(os.environ["CLIENT_ENDPOINT"], credentials)


class Undecided(TransactionChecker):
    def check(self, message):
        return TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED


def filters(asked):
    kind = FilterType.SQL if asked.get("sql") else FilterType.TAG
    return {asked["topic"]: FilterExpression(asked.get("filter", "*"), kind)}


def message_of(asked):
    message = Message()
    message.topic = asked["topic"]
    message.body = asked["body"].encode()
    if asked.get("tag"):
        message.tag = asked["tag"]
    if asked.get("keys"):
        message.keys = asked["keys"][0]
    for name, value in (asked.get("properties") or {}).items():
        message.add_property(name, value)
    if asked.get("messageGroup"):
        message.message_group = asked["messageGroup"]
    if asked.get("deliverInMs"):
        message.delivery_timestamp = int(time.time() + asked["deliverInMs"] / 1000)
    return message


def shown(message):
    return {
        "messageId": message.message_id,
        "body": message.body.decode(),
        "tag": message.tag or "",
        "keys": list(message.keys or []),
        "properties": dict(message.properties or {}),
        "attempt": message.delivery_attempt,
    }


class Collector(MessageListener):
    def __init__(self, fails):
        self.fails = fails
        self.lock = threading.Lock()
        self.messages = []

    def consume(self, message):
        with self.lock:
            self.messages.append(shown(message))
        return ConsumeResult.FAILURE if self.fails else ConsumeResult.SUCCESS


def start_producer(asked):
    producer = Producer(configuration(), asked["topics"], checker=Undecided(), tls_enable=tls)
    producer.startup()
    state["producer"] = producer
    return {}


def send(asked):
    return {"messageId": state["producer"].send(message_of(asked)).message_id}


def transaction(asked):
    begun = state["producer"].begin_transaction()
    receipt = state["producer"].send(message_of(asked), begun)
    if asked["end"] == "commit":
        begun.commit()
    else:
        begun.rollback()
    return {"messageId": receipt.message_id}


def start_consumer(asked):
    consumer = SimpleConsumer(configuration(), asked["group"], filters(asked), await_duration=5, tls_enable=tls)
    consumer.startup()
    simple[asked["name"]] = consumer
    return {}


def receive(asked):
    messages = simple[asked["name"]].receive(asked["max"], asked["invisibleMs"] // 1000)
    for message in messages or []:
        received[message.message_id] = message
    return {"messages": [shown(message) for message in messages or []]}


def ack(asked):
    simple[asked["name"]].ack(received[asked["messageId"]])
    return {}


def nack(asked):
    simple[asked["name"]].change_invisible_duration(received[asked["messageId"]], asked["invisibleMs"] // 1000)
    return {}


def start_push(asked):
    collector = Collector(asked.get("fail", False))
    consumer = PushConsumer(configuration(), asked["group"], collector, filters(asked), tls_enable=tls)
    consumer.startup()
    push[asked["name"]] = (consumer, collector)
    return {}


def pushed(asked):
    _, collector = push[asked["name"]]
    with collector.lock:
        return {"messages": list(collector.messages)}


def close(_):
    for consumer in simple.values():
        consumer.shutdown()
    if state["producer"] is not None:
        state["producer"].shutdown()
    return {}


commands = {
    "producer": start_producer,
    "send": send,
    "transaction": transaction,
    "consumer": start_consumer,
    "receive": receive,
    "ack": ack,
    "nack": nack,
    "push": start_push,
    "pushed": pushed,
    "close": close,
}

for line in sys.stdin:
    asked = json.loads(line)
    try:
        answer = commands[asked["do"]](asked)
    except Exception as error:  # what the client refuses is what the test asks about
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
    if asked["do"] == "close":
        # Threads of a push consumer would keep the process for its long poll.
        os._exit(0)
