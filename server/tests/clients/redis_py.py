"""redis-py against one node (`redis_py.py PORT`) or a cluster (`redis_py.py PORT PORT PORT`).

One line per check; the first failure ends the process with status 1, and 77 says that redis-py is not there.
"""

import asyncio
import sys
import threading
import time
import uuid

try:
    import redis
    import redis.asyncio
    from redis.cluster import ClusterNode, RedisCluster
except ImportError:
    sys.exit(77)

ports = [int(port) for port in sys.argv[1:]]
is_cluster = len(ports) > 1
run = uuid.uuid4().hex


def connect(protocol):
    if is_cluster:
        nodes = [ClusterNode("127.0.0.1", port) for port in ports]
        return RedisCluster(startup_nodes=nodes, protocol=protocol, decode_responses=True)
    return redis.Redis(port=ports[0], protocol=protocol, decode_responses=True)


def values(client, key):
    assert client.set(key("s"), "a", ex=100) and client.ttl(key("s")) > 90
    assert client.set(key("s"), "b", nx=True) is None
    assert client.getdel(key("s")) == "a"
    assert client.mset({key("a"): 1, key("b"): 2}) and client.mget(key("a"), key("none"), key("b")) == ["1", None, "2"]
    assert client.incrby(key("a"), 41) == 42
    try:
        client.lpush(key("a"), "x")
        raise AssertionError("a string took an element")
    except redis.ResponseError as error:
        assert str(error).startswith("WRONGTYPE"), error


def collections(client, key):
    fields = {f"f{n}": str(n) for n in range(500)}
    assert client.hset(key("h"), mapping=fields) == 500 and client.hgetall(key("h")) == fields
    assert dict(client.hscan_iter(key("h"))) == fields
    client.sadd(key("set"), "a", "b")
    assert client.smembers(key("set")) == {"a", "b"}
    client.zadd(key("z"), {"a": 1, "b": 2.5})
    assert [tuple(pair) for pair in client.zrange(key("z"), 0, -1, withscores=True)] == [("a", 1.0), ("b", 2.5)]
    client.rpush(key("l"), "a", "b", "c")
    assert client.lrange(key("l"), 0, -1) == ["a", "b", "c"] and client.lmove(key("l"), key("m")) == "a"
    assert client.pfadd(key("hll"), *range(100)) == 1 and 95 < client.pfcount(key("hll")) < 105


def pipelines(client, key):
    with client.pipeline(transaction=not is_cluster) as pipe:
        assert pipe.set(key("p"), 1).incr(key("p")).get(key("p")).execute() == [True, 2, "2"]


def scripts(client, key):
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert add(keys=[key("n")], args=[2]) == 2 and add(keys=[key("n")], args=[3]) == 5


def locks(client, key):
    lock = client.lock(key("lock"), timeout=10)
    assert lock.acquire(blocking=False) and not client.lock(key("lock"), timeout=10).acquire(blocking=False)
    lock.release()


def blocking(client, key):
    threading.Timer(0.1, lambda: client.rpush(key("queue"), "job")).start()
    assert list(client.blpop([key("queue")], timeout=5)) == [key("queue"), "job"]
    assert client.blpop([key("queue")], timeout=0.1) is None


def pubsub(client, key):
    with client.pubsub() as subscriber:
        kinds, until = [], time.monotonic() + 5

        def wait_for(count):
            while len(kinds) < count and time.monotonic() < until:
                message = subscriber.get_message(timeout=0.1)
                kinds.extend([message["type"]] if message else [])

        subscriber.subscribe(key("news"))
        subscriber.psubscribe(f"*{run}*")
        wait_for(2)
        client.publish(key("news"), "one")
        wait_for(4)
        assert sorted(kinds) == ["message", "pmessage", "psubscribe", "subscribe"], kinds


def scans(client, key):
    names = {key(f"scan:{n}") for n in range(300)}
    for name in names:
        client.set(name, "")
    assert set(client.scan_iter(match=key("scan:*"), count=200)) == names


async def at_once(key, protocol):
    if is_cluster:
        client = redis.asyncio.RedisCluster(host="127.0.0.1", port=ports[0], protocol=protocol, decode_responses=True)
    else:
        client = redis.asyncio.Redis(port=ports[0], protocol=protocol, decode_responses=True)
    for _ in range(20):
        await asyncio.gather(*(client.incr(f"{key('many')}:{n % 10}") for n in range(50)))
    counted = await asyncio.gather(*(client.get(f"{key('many')}:{n}") for n in range(10)))
    assert counted == ["100"] * 10, counted
    await client.aclose()


for protocol in (2, 3):
    client = connect(protocol)

    def key(name):
        return f"{{{run}:{protocol}}}:{name}"

    for check in (values, collections, pipelines, scripts, locks, blocking, pubsub, scans):
        check(client, key)
        print(f"ok   RESP{protocol} {check.__name__}")
    asyncio.run(at_once(key, protocol))
    print(f"ok   RESP{protocol} at_once")
