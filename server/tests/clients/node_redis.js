// node-redis against one node (`node node_redis.js PORT`) or a cluster (`node node_redis.js PORT PORT PORT`).
// One line per check; the first failure ends the process with status 1.
'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { createClient, createClientPool, createCluster, defineScript, RESP_TYPES, WatchError } = require('redis');

const ports = process.argv.slice(2).map(Number);
const cluster = ports.length > 1;
const run = crypto.randomUUID();
const url = (port) => `redis://127.0.0.1:${port}`;

const scripts = {
  addTo: defineScript({
    SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key, by) {
      parser.pushKey(key);
      parser.push(String(by));
    },
    transformReply: (reply) => reply,
  }),
};

async function connect(RESP, options = {}) {
  const client = cluster
    ? createCluster({ rootNodes: ports.map((port) => ({ url: url(port) })), RESP, scripts, ...options })
    : createClient({ url: url(ports[0]), RESP, scripts, ...options });
  client.on('error', fail);
  await client.connect();
  return client;
}

async function withAnother(RESP, act) {
  const client = await connect(RESP);
  try {
    return await act(client);
  } finally {
    client.destroy();
  }
}

function checks(RESP, client, k) {
  // Clusters have no iterators of their own; any node takes any key, and scans the whole cluster.
  const node = async () => (cluster ? client.nodeClient(client.masters[0]) : client);
  const blobs = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });

  async function handshake() {
    assert.equal(await client.ping(), 'PONG');
    await client.select(0);
    const hello = await client.hello();
    assert.deepEqual([hello.server, hello.proto], ['redis', RESP]);
    assert.match(await client.info('server'), /redis_version:\d/);
  }

  async function connection() {
    assert.equal(await client.clientSetName('tester'), 'OK');
    assert.equal(await client.clientGetName(), 'tester');
    const info = await client.clientInfo();
    assert.deepEqual([info.id, info.name, info.db], [await client.clientId(), 'tester', 0]);
    assert.ok((await client.clientList()).some(({ id, name }) => id === info.id && name === 'tester'));
    assert.equal(await client.clientNoEvict(true), 'OK');
  }

  async function watch() {
    await withAnother(RESP, async (watcher) => {
      await watcher.watch(k('w'));
      await client.set(k('w'), 'other');
      await assert.rejects(watcher.multi().set(k('w'), 'mine').exec(), WatchError);
      await watcher.watch(k('w'));
      assert.deepEqual(await watcher.multi().set(k('w'), 'mine').exec(), ['OK']);
    });
  }

  async function pool() {
    const clients = createClientPool({ url: url(ports[0]), RESP });
    await clients.connect();
    const [popped, pushed] = await Promise.all([clients.blPop(k('pool'), 5), clients.lPush(k('pool'), 'x')]);
    assert.deepEqual([{ ...popped }, pushed], [{ key: k('pool'), element: 'x' }, 1]);
    await clients.close();
  }

  async function strings() {
    assert.equal(await client.set(k('s'), 'a', { expiration: { type: 'EX', value: 100 } }), 'OK');
    assert.equal(await client.set(k('s'), 'b', { condition: 'NX' }), null);
    assert.equal(await client.set(k('s'), 'b', { condition: 'XX', expiration: 'KEEPTTL', GET: true }), 'a');
    assert.ok((await client.ttl(k('s'))) > 90);
    assert.equal(await client.getEx(k('s'), { type: 'PERSIST' }), 'b');
    assert.equal(await client.ttl(k('s')), -1);
    await client.mSet({ [k('m1')]: '1', [k('m2')]: '2' });
    assert.deepEqual(await client.mGet([k('m1'), k('m2'), k('none')]), ['1', '2', null]);
    assert.equal(await client.incrBy(k('m1'), 41), 42);
    assert.equal(await client.getDel(k('s')), 'b');
    await assert.rejects(client.lPush(k('m1'), 'x'), /^Error: WRONGTYPE/);
  }

  async function bytes() {
    const binary = Buffer.concat([Buffer.from(k('bin')), Buffer.from([0, 1, 255, 13, 10])]);
    await client.set(binary, binary);
    assert.deepEqual(await blobs.get(binary), binary);
    const big = crypto.randomBytes(1 << 20);
    await client.set(k('big'), big);
    assert.ok(big.equals(await blobs.get(k('big'))));
  }

  async function hashes() {
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`f${i}`, `v${i}`]));
    assert.equal(await client.hSet(k('h'), fields), 1000);
    assert.deepEqual({ ...(await client.hGetAll(k('h'))) }, fields);
    assert.deepEqual(await client.hmGet(k('h'), ['f1', 'none']), ['v1', null]);
    const scanned = {};
    for await (const page of (await node()).hScanIterator(k('h'), { COUNT: 100 })) {
      for (const { field, value } of page) scanned[field] = value;
    }
    assert.deepEqual(scanned, fields);
  }

  async function sets() {
    await client.sAdd(k('set1'), ['a', 'b', 'c']);
    await client.sAdd(k('set2'), ['b', 'c', 'd']);
    assert.deepEqual((await client.sInter([k('set1'), k('set2')])).sort(), ['b', 'c']);
    assert.deepEqual(await client.smIsMember(k('set1'), ['a', 'd']), [1, 0]);
    const members = new Set();
    for await (const page of (await node()).sScanIterator(k('set1'))) {
      for (const member of page) members.add(member);
    }
    assert.deepEqual([...members].sort(), ['a', 'b', 'c']);
  }

  async function sortedSets() {
    const members = [{ value: 'a', score: 1 }, { value: 'b', score: 2.5 }, { value: 'c', score: Infinity }];
    assert.equal(await client.zAdd(k('z'), members), 3);
    assert.deepEqual((await client.zRangeWithScores(k('z'), 0, -1)).map((m) => ({ ...m })), members);
    assert.equal(await client.zScore(k('z'), 'b'), 2.5);
    assert.equal(await client.zScore(k('z'), 'none'), null);
    assert.deepEqual(await client.zRange(k('z'), '(1', '+inf', { BY: 'SCORE' }), ['b', 'c']);
    assert.equal(await client.zIncrBy(k('z'), 0.5, 'a'), 1.5);
    assert.deepEqual({ ...(await client.zPopMin(k('z'))) }, { value: 'a', score: 1.5 });
    assert.equal(await client.zPopMin(k('none')), null);
  }

  async function lists() {
    await client.rPush(k('l'), ['a', 'b', 'c', 'd']);
    assert.deepEqual(await client.lRange(k('l'), 0, -1), ['a', 'b', 'c', 'd']);
    assert.equal(await client.lPos(k('l'), 'c'), 2);
    assert.equal(await client.lInsert(k('l'), 'BEFORE', 'b', 'x'), 5);
    assert.equal(await client.lMove(k('l'), k('l2'), 'LEFT', 'RIGHT'), 'a');
    assert.deepEqual(await client.lmPop(k('l'), 'RIGHT', { COUNT: 2 }), [k('l'), ['d', 'c']]);
  }

  async function scan() {
    const wanted = Array.from({ length: 300 }, (_, i) => `${run}:${RESP}:scan:${i}`).sort();
    await Promise.all(wanted.map((name) => client.set(name, '')));
    const found = new Set();
    for await (const page of (await node()).scanIterator({ MATCH: `${run}:${RESP}:scan:*`, COUNT: 200 })) {
      for (const name of page) found.add(name);
    }
    assert.deepEqual([...found].sort(), wanted);
  }

  async function pipelines() {
    assert.deepEqual(await client.multi().set(k('p'), '1').incr(k('p')).get(k('p')).execAsPipeline(), ['OK', 2, '2']);
  }

  async function transactions() {
    assert.deepEqual(await client.multi().set(k('t'), '1').incr(k('t')).get(k('t')).exec(), ['OK', 2, '2']);
    const failed = client.multi().incr(k('t')).lPush(k('t'), 'x').get(k('t')).exec();
    await assert.rejects(failed, ({ replies, errorIndexes }) => {
      assert.deepEqual([replies[0], replies[2], errorIndexes], [3, '3', [1]]);
      assert.match(replies[1].message, /^WRONGTYPE/);
      return true;
    });
  }

  async function luaScripts() {
    const reply = await client.eval("return {KEYS[1], ARGV[1], 2.9, redis.call('SET', KEYS[1], ARGV[1])}",
      { keys: [k('e')], arguments: ['v'] });
    assert.deepEqual(reply, [k('e'), 'v', 2, 'OK']);
    await assert.rejects(client.evalSha('f'.repeat(40), { keys: [k('e')] }), /NOSCRIPT/);
    assert.equal(await client.addTo(k('n'), 2), 2);
    assert.equal(await client.addTo(k('n'), 3), 5);
  }

  async function blocking() {
    await withAnother(RESP, async (waiter) => {
      const served = async (waiting, act) => {
        await sleep(50);
        await act();
        const reply = await waiting;
        return typeof reply === 'object' && !Array.isArray(reply) ? { ...reply } : reply;
      };
      assert.deepEqual(await served(waiter.blPop([k('b1'), k('b2')], 5), () => client.rPush(k('b2'), 'v')),
        { key: k('b2'), element: 'v' });
      assert.equal(await served(waiter.brPopLPush(k('b1'), k('b3'), 5), () => client.rPush(k('b1'), 'w')), 'w');
      assert.equal(await served(waiter.blMove(k('b1'), k('b3'), 'LEFT', 'LEFT', 5), () => client.rPush(k('b1'), 'u')), 'u');
      assert.deepEqual(await client.lRange(k('b3'), 0, -1), ['u', 'w']);
      assert.deepEqual(await served(waiter.bzPopMin(k('bz'), 5), () => client.zAdd(k('bz'), { score: 1.5, value: 'm' })),
        { key: k('bz'), value: 'm', score: 1.5 });
      assert.equal(await waiter.blPop(k('b1'), 0.1), null);
    });
  }

  async function pubSub() {
    await withAnother(RESP, async (subscriber) => {
      const received = [];
      await subscriber.subscribe(k('news'), (message) => received.push(`channel ${message}`));
      await subscriber.pSubscribe(`${run}:news:*`, (message) => received.push(`pattern ${message}`));
      await client.publish(k('news'), 'one');
      await client.publish(`${run}:news:x`, 'two');
      await until(() => received.length === 2);
      assert.deepEqual(received.sort(), ['channel one', 'pattern two']);
      await subscriber.unsubscribe(k('news'));
      await subscriber.pUnsubscribe();
    });
  }

  async function manyAtOnce() {
    const numbers = Array.from({ length: 10_000 }, (_, i) => String(i));
    const name = (n) => `${run}:many:${n % 500}`;
    await Promise.all(numbers.map((n) => client.hSet(name(n), n, n)));
    assert.deepEqual(await Promise.all(numbers.map((n) => client.hGet(name(n), n))), numbers);
  }

  return [
    ...(cluster ? [] : [handshake, connection, watch, pool]),
    strings, bytes, hashes, sets, sortedSets, lists, scan, pipelines,
    transactions, luaScripts, blocking, pubSub, manyAtOnce,
  ];
}

async function until(condition) {
  for (let waited = 0; !condition(); waited += 10) {
    assert.ok(waited < 5000, 'nothing came within 5 s');
    await sleep(10);
  }
}

async function main() {
  assert.ok(ports.length && ports.every(Number.isInteger), 'usage: node node_redis.js PORT [PORT PORT]');
  for (const RESP of [2, 3]) {
    const client = await connect(RESP);
    // The hash tag keeps all keys in one slot, as transactions and scripts require.
    const k = (name) => `{${run}:${RESP}}:${name}`;
    for (const check of checks(RESP, client, k)) {
      const began = Date.now();
      try {
        await check();
      } catch (error) {
        console.log(`FAIL RESP${RESP} ${check.name}`);
        throw error;
      }
      console.log(`ok   RESP${RESP} ${check.name} (${Date.now() - began} ms)`);
    }
    client.destroy();
  }
}

const limit = setTimeout(() => fail(new Error('not finished within 20 s')), 20_000);

function fail(error) {
  console.error(error);
  process.exit(1);
}

main().then(() => clearTimeout(limit), fail);
