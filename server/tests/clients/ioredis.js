// ioredis against one node (`node ioredis.js PORT`) or a cluster (`node ioredis.js PORT PORT PORT`).
// One line per check; the first failure ends the process with status 1.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const Redis = require('ioredis');

const ports = process.argv.slice(2).map(Number);
const cluster = ports.length > 1;
const run = crypto.randomUUID();
const open = new Set();

function connect(redisOptions, options = {}) {
  const client = cluster
    ? new Redis.Cluster(ports.map((port) => ({ host: '127.0.0.1', port })), { redisOptions, ...options })
    : new Redis({ port: ports[0], ...redisOptions, ...options });
  open.add(client);
  return client;
}

function close(client) {
  open.delete(client);
  client.disconnect();
}

async function collect(stream) {
  const items = [];
  for await (const page of stream) items.push(...page);
  return items;
}

function checks(redisOptions, client, k) {
  const resp3 = redisOptions.protocol === 3;
  const connectAnother = (options) => connect(redisOptions, options);

  async function handshake() {
    assert.equal(await client.ping(), 'PONG');
    assert.equal(await client.select(0), 'OK');
    const info = await client.info('server');
    assert.match(info, /redis_version:\d/);
  }

  async function connection() {
    const named = connectAnother({ connectionName: 'tester' });
    assert.equal(await named.client('GETNAME'), 'tester');
    const id = await named.client('ID');
    assert.match(await named.client('LIST'), new RegExp(`^id=${id} .*name=tester`, 'm'));
    assert.equal(await named.client('NO-EVICT', 'ON'), 'OK');
    close(named);
  }

  async function strings() {
    assert.equal(await client.set(k('s'), 'a', 'EX', 100), 'OK');
    assert.equal(await client.set(k('s'), 'b', 'NX'), null);
    assert.equal(await client.set(k('s'), 'b', 'XX', 'KEEPTTL', 'GET'), 'a');
    assert.ok((await client.ttl(k('s'))) > 90);
    assert.equal(await client.getex(k('s'), 'PERSIST'), 'b');
    assert.equal(await client.ttl(k('s')), -1);
    await client.mset(k('m1'), '1', k('m2'), '2');
    assert.deepEqual(await client.mget(k('m1'), k('m2'), k('none')), ['1', '2', null]);
    assert.equal(await client.incrby(k('m1'), 41), 42);
    assert.equal(await client.getdel(k('s')), 'b');
    await assert.rejects(client.lpush(k('m1'), 'x'), /^ReplyError: WRONGTYPE/);
  }

  async function bytes() {
    const binary = Buffer.concat([Buffer.from(k('bin')), Buffer.from([0, 1, 255, 13, 10])]);
    await client.set(binary, binary);
    assert.deepEqual(await client.getBuffer(binary), binary);
    const big = crypto.randomBytes(1 << 20);
    await client.set(k('big'), big);
    assert.ok(big.equals(await client.getBuffer(k('big'))));
  }

  async function hashes() {
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`f${i}`, `v${i}`]));
    assert.equal(await client.hset(k('h'), fields), 1000);
    assert.deepEqual({ ...(await client.hgetall(k('h'))) }, fields);
    assert.deepEqual(await client.hmget(k('h'), 'f1', 'none'), ['v1', null]);
    const pairs = await collect(client.hscanStream(k('h'), { count: 100 }));
    const scanned = {};
    for (let i = 0; i < pairs.length; i += 2) scanned[pairs[i]] = pairs[i + 1];
    assert.deepEqual(scanned, fields);
  }

  async function sets() {
    await client.sadd(k('set1'), 'a', 'b', 'c');
    await client.sadd(k('set2'), 'b', 'c', 'd');
    assert.deepEqual((await client.sinter(k('set1'), k('set2'))).sort(), ['b', 'c']);
    assert.deepEqual(await client.smismember(k('set1'), 'a', 'd'), [1, 0]);
    assert.deepEqual([...new Set(await collect(client.sscanStream(k('set1'))))].sort(), ['a', 'b', 'c']);
  }

  async function sortedSets() {
    await client.zadd(k('z'), 1, 'a', 2.5, 'b', 'inf', 'c');
    const scores = await client.zrange(k('z'), 0, -1, 'WITHSCORES');
    const expected = resp3
      ? [['a', 1], ['b', 2.5], ['c', Infinity]]
      : ['a', '1', 'b', '2.5', 'c', 'inf'];
    assert.deepEqual(scores, expected);
    assert.equal(await client.zscore(k('z'), 'b'), resp3 ? 2.5 : '2.5');
    assert.equal(await client.zscore(k('z'), 'none'), null);
    assert.deepEqual(await client.zrangebyscore(k('z'), '(1', '+inf'), ['b', 'c']);
    assert.equal((await collect(client.zscanStream(k('z')))).length, 6);
    assert.deepEqual(await client.zpopmin(k('z')), ['a', resp3 ? 1 : '1']);
  }

  async function lists() {
    await client.rpush(k('l'), 'a', 'b', 'c', 'd');
    assert.deepEqual(await client.lrange(k('l'), 0, -1), ['a', 'b', 'c', 'd']);
    assert.equal(await client.lpos(k('l'), 'c'), 2);
    assert.equal(await client.linsert(k('l'), 'BEFORE', 'b', 'x'), 5);
    assert.equal(await client.lmove(k('l'), k('l2'), 'LEFT', 'RIGHT'), 'a');
    assert.deepEqual(await client.lmpop(1, k('l'), 'RIGHT', 'COUNT', 2), [k('l'), ['d', 'c']]);
  }

  async function scan() {
    const wanted = Array.from({ length: 300 }, (_, i) => `${run}:${redisOptions.protocol}:scan:${i}`).sort();
    await Promise.all(wanted.map((name) => client.set(name, '')));
    // One node scans the whole cluster.
    const node = cluster ? client.nodes('master')[0] : client;
    const stream = node.scanStream({ match: `${run}:${redisOptions.protocol}:scan:*`, count: 200 });
    assert.deepEqual([...new Set(await collect(stream))].sort(), wanted);
  }

  async function pipelines() {
    const replies = await client.pipeline().set(k('p'), 1).incr(k('p')).lpush(k('p'), 'x').get(k('p')).exec();
    assert.deepEqual(replies.map(([, reply]) => reply), ['OK', 2, undefined, '2']);
    assert.match(replies[2][0].message, /^WRONGTYPE/);
  }

  async function autoPipelining() {
    const auto = connectAnother({ enableAutoPipelining: true });
    const numbers = Array.from({ length: 1000 }, (_, i) => String(i));
    await Promise.all(numbers.map((n) => auto.set(`${run}:auto:${n}`, n)));
    assert.deepEqual(await Promise.all(numbers.map((n) => auto.get(`${run}:auto:${n}`))), numbers);
    close(auto);
  }

  async function transactions() {
    const replies = await client.multi().set(k('t'), 1).incr(k('t')).lpush(k('t'), 'x').get(k('t')).exec();
    assert.deepEqual(replies.map(([, reply]) => reply), ['OK', 2, undefined, '2']);
    assert.match(replies[2][0].message, /^WRONGTYPE/);
  }

  async function watch() {
    const watcher = connectAnother();
    await watcher.watch(k('w'));
    await client.set(k('w'), 'other');
    assert.equal(await watcher.multi().set(k('w'), 'mine').exec(), null);
    await watcher.watch(k('w'));
    assert.deepEqual(await watcher.multi().set(k('w'), 'mine').exec(), [[null, 'OK']]);
    close(watcher);
  }

  async function scripts() {
    const reply = await client.eval("return {KEYS[1], ARGV[1], 2.9, redis.call('SET', KEYS[1], ARGV[1])}", 1, k('e'), 'v');
    assert.deepEqual(reply, [k('e'), 'v', 2, 'OK']);
    await assert.rejects(client.evalsha('f'.repeat(40), 1, k('e')), /NOSCRIPT/);
    client.defineCommand('addTo', { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
    assert.equal(await client.addTo(k('n'), 2), 2);
    assert.equal(await client.addTo(k('n'), 3), 5);
    assert.deepEqual(await client.pipeline().addTo(k('n'), 1).get(k('n')).exec(), [[null, 6], [null, '6']]);
  }

  async function blocking() {
    const waiter = connectAnother();
    const served = async (waiting, act) => {
      await sleep(50);
      await act();
      return waiting;
    };
    assert.deepEqual(await served(waiter.blpop(k('b1'), k('b2'), 5), () => client.rpush(k('b2'), 'v')), [k('b2'), 'v']);
    assert.equal(await served(waiter.brpoplpush(k('b1'), k('b3'), 5), () => client.rpush(k('b1'), 'w')), 'w');
    assert.equal(await served(waiter.blmove(k('b1'), k('b3'), 'LEFT', 'LEFT', 5), () => client.rpush(k('b1'), 'u')), 'u');
    assert.deepEqual(await client.lrange(k('b3'), 0, -1), ['u', 'w']);
    assert.deepEqual(await served(waiter.bzpopmin(k('bz'), 5), () => client.zadd(k('bz'), 1.5, 'm')),
      [k('bz'), 'm', resp3 ? 1.5 : '1.5']);
    assert.equal(await waiter.blpop(k('b1'), 0.1), null);
    close(waiter);
  }

  async function pubSub() {
    const subscriber = connectAnother();
    const received = [];
    subscriber.on('message', (channel, message) => received.push([channel, message]));
    subscriber.on('pmessage', (pattern, channel, message) => received.push([pattern, channel, message]));
    assert.equal(await subscriber.subscribe(k('news')), 1);
    assert.equal(await subscriber.psubscribe(`${run}:news:*`), 2);
    await client.publish(k('news'), 'one');
    await client.publish(`${run}:news:x`, 'two');
    await until(() => received.length === 2);
    received.sort((a, b) => a.length - b.length);
    assert.deepEqual(received, [[k('news'), 'one'], [`${run}:news:*`, `${run}:news:x`, 'two']]);
    assert.equal(await subscriber.unsubscribe(k('news')), 1);
    close(subscriber);
  }

  async function manyAtOnce() {
    const numbers = Array.from({ length: 10_000 }, (_, i) => String(i));
    const name = (n) => `${run}:many:${n % 500}`;
    await Promise.all(numbers.map((n) => client.hset(name(n), n, n)));
    assert.deepEqual(await Promise.all(numbers.map((n) => client.hget(name(n), n))), numbers);
  }

  return [
    ...(cluster ? [] : [handshake, connection, watch]),
    strings, bytes, hashes, sets, sortedSets, lists, scan, pipelines, autoPipelining,
    transactions, scripts, blocking, pubSub, manyAtOnce,
  ];
}

async function until(condition) {
  for (let waited = 0; !condition(); waited += 10) {
    assert.ok(waited < 5000, 'nothing came within 5 s');
    await sleep(10);
  }
}

async function main() {
  assert.ok(ports.length && ports.every(Number.isInteger), 'usage: node ioredis.js PORT [PORT PORT]');
  for (const redisOptions of [{ protocol: 2 }, { protocol: 3, replyMapping: 'resp3' }]) {
    const client = connect(redisOptions);
    // The hash tag keeps all keys in one slot, as transactions and scripts require.
    const k = (name) => `{${run}:${redisOptions.protocol}}:${name}`;
    for (const check of checks(redisOptions, client, k)) {
      const began = Date.now();
      try {
        await check();
      } catch (error) {
        console.log(`FAIL RESP${redisOptions.protocol} ${check.name}`);
        throw error;
      }
      console.log(`ok   RESP${redisOptions.protocol} ${check.name} (${Date.now() - began} ms)`);
    }
    close(client);
  }
}

const limit = setTimeout(() => fail(new Error('not finished within 20 s')), 20_000);

function fail(error) {
  console.error(error);
  process.exit(1);
}

main().then(() => {
  clearTimeout(limit);
  for (const client of open) close(client);
}, fail);
