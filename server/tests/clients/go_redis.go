// go-redis (v9) against one node (`go_redis PORT`) or a cluster (`go_redis PORT PORT PORT`), in RESP2 and RESP3.
//
// One line per check; the first failure ends the process with status 1. With a cluster the last check says `KILL` and waits for
// a line on standard input before it goes on: whoever started it kills the last of the nodes meanwhile.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// How long anything may take.
const patience = 20 * time.Second

var (
	ctx       = context.Background()
	addresses []string
	run       = fmt.Sprintf("%x", time.Now().UnixNano())
)

func isCluster() bool { return len(addresses) > 1 }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func get[T any](value T, err error) T {
	must(err)
	return value
}

func equal(got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("got %#v, not %#v", got, want))
	}
}

func holds(is bool, what string, about ...any) {
	if !is {
		panic(fmt.Sprintf(what, about...))
	}
}

func fails(err error, beginning string) {
	holds(err != nil && strings.HasPrefix(err.Error(), beginning), "got the error %v, not %s", err, beginning)
}

func sorted(words []string) []string {
	sort.Strings(words)
	return words
}

// One protocol's connection, and names for keys: those of k are all in one slot, as transactions and scripts require.
type trial struct {
	client   redis.UniversalClient
	protocol int
}

func connect(protocol int, name string) redis.UniversalClient {
	return redis.NewUniversalClient(&redis.UniversalOptions{Addrs: addresses, Protocol: protocol, ClientName: name})
}

func plain(protocol int) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addresses[0], Protocol: protocol})
}

func (t trial) k(name string) string { return fmt.Sprintf("{%s:%d}:%s", run, t.protocol, name) }

func (t trial) anywhere(name any) string { return fmt.Sprintf("%s:%d:%v", run, t.protocol, name) }

// Does something soon, while somebody waits for it.
func soon(act func()) {
	time.AfterFunc(50*time.Millisecond, act)
}

func handshake(t trial) {
	equal(get(t.client.Ping(ctx).Result()), "PONG")
	client := plain(t.protocol)
	defer client.Close()
	alone := client.Conn()
	defer alone.Close()
	hello := get(alone.Hello(ctx, t.protocol, "", "", "").Result())
	equal(hello["server"], "redis")
	equal(hello["proto"], int64(t.protocol))
	holds(strings.Contains(client.Info(ctx, "server").Val(), "redis_version:"), "INFO has no version")
	now := get(client.Time(ctx).Result())
	holds(time.Since(now).Abs() < time.Minute, "TIME is %v", now)
	config := get(client.ConfigGet(ctx, "maxmemory*").Result())
	_, has := config["maxmemory"]
	holds(has, "CONFIG GET has no maxmemory: %v", config)
	for _, name := range []string{"set", "xadd", "dot.get"} {
		command := get(client.Command(ctx).Result())[name]
		holds(command != nil && command.FirstKeyPos == 1, "COMMAND has no %s", name)
	}
	must(client.SlowLogGet(ctx, 10).Err())
	holds(get(client.DBSize(ctx).Result()) >= 0, "DBSIZE is negative")
}

func connection(t trial) {
	named := redis.NewClient(&redis.Options{Addr: addresses[0], Protocol: t.protocol, ClientName: "tester", PoolSize: 1})
	defer named.Close()
	equal(get(named.ClientGetName(ctx).Result()), "tester")
	info := get(named.ClientInfo(ctx).Result())
	equal(info.ID, get(named.ClientID(ctx).Result()))
	equal([]any{info.Name, info.DB, info.LibVer != ""}, []any{"tester", 0, true})
	holds(strings.Contains(get(named.ClientList(ctx).Result()), "name=tester"), "it is not in CLIENT LIST")
}

func stringKeys(t trial) {
	c, k := t.client, t.k
	equal(get(c.Set(ctx, k("s"), "a", 100*time.Second).Result()), "OK")
	equal(get(c.SetNX(ctx, k("s"), "b", 0).Result()), false)
	equal(get(c.SetArgs(ctx, k("s"), "b", redis.SetArgs{Mode: "XX", KeepTTL: true, Get: true}).Result()), "a")
	holds(get(c.TTL(ctx, k("s")).Result()) > 90*time.Second, "it has lost its end")
	equal(get(c.GetEx(ctx, k("s"), 0).Result()), "b")
	equal(get(c.TTL(ctx, k("s")).Result()), time.Duration(-1))
	must(c.MSet(ctx, k("m1"), 1, k("m2"), "2").Err())
	equal(get(c.MGet(ctx, k("m1"), k("none"), k("m2")).Result()), []any{"1", nil, "2"})
	equal(get(c.IncrBy(ctx, k("m1"), 41).Result()), int64(42))
	equal(get(c.IncrByFloat(ctx, k("f"), 2.5).Result()), 2.5)
	equal(get(c.Append(ctx, k("s"), "cd").Result()), int64(3))
	equal(get(c.GetRange(ctx, k("s"), 1, -1).Result()), "cd")
	equal(get(c.GetDel(ctx, k("s")).Result()), "bcd")
	equal(c.Get(ctx, k("s")).Err(), redis.Nil)
	fails(c.LPush(ctx, k("m1"), "x").Err(), "WRONGTYPE")
	equal(get(c.Type(ctx, k("m1")).Result()), "string")
	equal(get(c.Exists(ctx, k("m1"), k("none"), k("m2")).Result()), int64(2))
	equal(get(c.Rename(ctx, k("m1"), k("m3")).Result()), "OK")
	equal(get(c.Copy(ctx, k("m3"), k("m4"), 0, true).Result()), int64(1))
	dump := get(c.Dump(ctx, k("m3")).Result())
	equal(get(c.RestoreReplace(ctx, k("m1"), time.Minute, dump).Result()), "OK")
	holds(get(c.PTTL(ctx, k("m1")).Result()) > 50*time.Second, "a restored key has no end")
	holds(get(c.MemoryUsage(ctx, k("m1")).Result()) > 0, "a key takes no memory")
	equal(get(c.Del(ctx, k("m1"), k("m2"), k("m3"), k("m4")).Result()), int64(4))
}

func bytesAndBits(t trial) {
	c, k := t.client, t.k
	binary := k("bin") + "\x00\x01\xff\r\n"
	must(c.Set(ctx, binary, binary, 0).Err())
	equal(get(c.Get(ctx, binary).Result()), binary)
	big := make([]byte, 1<<20)
	get(rand.Read(big))
	must(c.Set(ctx, k("big"), big, 0).Err())
	holds(bytes.Equal(get(c.Get(ctx, k("big")).Bytes()), big), "a megabyte has changed")
	equal(get(c.SetBit(ctx, k("bits"), 7, 1).Result()), int64(0))
	equal(get(c.BitCount(ctx, k("bits"), nil).Result()), int64(1))
	equal(get(c.BitField(ctx, k("bits"), "INCRBY", "u8", 0, 5, "GET", "u4", 4).Result()), []int64{6, 6})
	equal(get(c.PFAdd(ctx, k("hll"), "a", "b", "c").Result()), int64(1))
	equal(get(c.PFCount(ctx, k("hll")).Result()), int64(3))
}

func hashes(t trial) {
	c, k := t.client, t.k
	fields := map[string]string{}
	for n := 0; n < 1000; n++ {
		fields[fmt.Sprint("f", n)] = fmt.Sprint("v", n)
	}
	equal(get(c.HSet(ctx, k("h"), fields).Result()), int64(1000))
	equal(get(c.HGetAll(ctx, k("h")).Result()), fields)
	equal(get(c.HMGet(ctx, k("h"), "f1", "none").Result()), []any{"v1", nil})
	scanned, iterator := map[string]string{}, c.HScan(ctx, k("h"), 0, "", 100).Iterator()
	for iterator.Next(ctx) {
		field := iterator.Val()
		holds(iterator.Next(ctx), "a field without a value")
		scanned[field] = iterator.Val()
	}
	must(iterator.Err())
	equal(scanned, fields)
	type person struct {
		Name string `redis:"name"`
		Age  int    `redis:"age"`
	}
	var read person
	must(c.HSet(ctx, k("person"), person{"Jack", 30}).Err())
	equal(get(c.HIncrBy(ctx, k("person"), "age", 1).Result()), int64(31))
	must(c.HGetAll(ctx, k("person")).Scan(&read))
	equal(read, person{"Jack", 31})
	holds(strings.HasPrefix(get(c.HRandField(ctx, k("h"), 1).Result())[0], "f"), "a field of no hash")
	equal(len(get(c.HRandFieldWithValues(ctx, k("h"), 2).Result())), 2)
}

func sets(t trial) {
	c, k := t.client, t.k
	must(c.SAdd(ctx, k("set1"), "a", "b", "c").Err())
	must(c.SAdd(ctx, k("set2"), "b", "c", "d").Err())
	equal(sorted(get(c.SInter(ctx, k("set1"), k("set2")).Result())), []string{"b", "c"})
	equal(get(c.SMIsMember(ctx, k("set1"), "a", "d").Result()), []bool{true, false})
	equal(get(c.SMembersMap(ctx, k("set1")).Result()), map[string]struct{}{"a": {}, "b": {}, "c": {}})
	var members []string
	for iterator := c.SScan(ctx, k("set1"), 0, "", 0).Iterator(); iterator.Next(ctx); {
		members = append(members, iterator.Val())
	}
	equal(sorted(members), []string{"a", "b", "c"})
}

func sortedSets(t trial) {
	c, k := t.client, t.k
	all := []redis.Z{{Score: 1, Member: "a"}, {Score: 2.5, Member: "b"}, {Score: math.Inf(1), Member: "c"}}
	equal(get(c.ZAdd(ctx, k("z"), all...).Result()), int64(3))
	equal(get(c.ZRangeWithScores(ctx, k("z"), 0, -1).Result()), all)
	equal(get(c.ZScore(ctx, k("z"), "b").Result()), 2.5)
	equal(c.ZScore(ctx, k("z"), "none").Err(), redis.Nil)
	equal(get(c.ZRankWithScore(ctx, k("z"), "b").Result()), redis.RankScore{Rank: 1, Score: 2.5})
	equal(get(c.ZRangeByScore(ctx, k("z"), &redis.ZRangeBy{Min: "(1", Max: "+inf"}).Result()), []string{"b", "c"})
	equal(get(c.ZAddArgsIncr(ctx, k("z"), redis.ZAddArgs{Members: []redis.Z{{Score: 0.5, Member: "a"}}}).Result()), 1.5)
	equal(get(c.ZMScore(ctx, k("z"), "a", "b").Result()), []float64{1.5, 2.5})
	equal(get(c.ZPopMin(ctx, k("z")).Result()), []redis.Z{{Score: 1.5, Member: "a"}})
	_, popped, err := c.ZMPop(ctx, "max", 1, k("z")).Result()
	must(err)
	equal(popped, []redis.Z{{Score: math.Inf(1), Member: "c"}})
	keys, _, err := c.ZScan(ctx, k("z"), 0, "", 0).Result()
	must(err)
	equal(keys, []string{"b", "2.5"})
}

func lists(t trial) {
	c, k := t.client, t.k
	must(c.RPush(ctx, k("l"), "a", "b", "c", "d").Err())
	equal(get(c.LRange(ctx, k("l"), 0, -1).Result()), []string{"a", "b", "c", "d"})
	equal(get(c.LPos(ctx, k("l"), "c", redis.LPosArgs{}).Result()), int64(2))
	equal(get(c.LInsertBefore(ctx, k("l"), "b", "x").Result()), int64(5))
	equal(get(c.LMove(ctx, k("l"), k("l2"), "LEFT", "RIGHT").Result()), "a")
	_, popped, err := c.LMPop(ctx, "RIGHT", 2, k("l")).Result()
	must(err)
	equal(popped, []string{"d", "c"})
	equal(c.LPop(ctx, k("none")).Err(), redis.Nil)
}

func blocking(t trial) {
	c, k := t.client, t.k
	soon(func() { c.RPush(ctx, k("b2"), "v") })
	equal(get(c.BLPop(ctx, 5*time.Second, k("b1"), k("b2")).Result()), []string{k("b2"), "v"})
	soon(func() { c.RPush(ctx, k("b1"), "w") })
	equal(get(c.BRPopLPush(ctx, k("b1"), k("b3"), 5*time.Second).Result()), "w")
	soon(func() { c.RPush(ctx, k("b1"), "u") })
	equal(get(c.BLMove(ctx, k("b1"), k("b3"), "LEFT", "LEFT", 5*time.Second).Result()), "u")
	equal(get(c.LRange(ctx, k("b3"), 0, -1).Result()), []string{"u", "w"})
	soon(func() { c.ZAdd(ctx, k("bz"), redis.Z{Score: 1.5, Member: "m"}) })
	equal(get(c.BZPopMin(ctx, 5*time.Second, k("bz")).Result()), &redis.ZWithKey{Key: k("bz"), Z: redis.Z{Score: 1.5, Member: "m"}})
	soon(func() { c.RPush(ctx, k("b4"), "1", "2") })
	key, popped, err := c.BLMPop(ctx, 5*time.Second, "LEFT", 2, k("b1"), k("b4")).Result()
	must(err)
	holds(key == k("b4") && len(popped) > 0, "got %v of %s", popped, key)
	equal(c.BLPop(ctx, time.Second, k("b1")).Err(), redis.Nil)
}

func streams(t trial) {
	c, k := t.client, t.k
	first := get(c.XAdd(ctx, &redis.XAddArgs{Stream: k("x"), Values: []string{"n", "1"}}).Result())
	soon(func() { c.XAdd(ctx, &redis.XAddArgs{Stream: k("x"), Values: []string{"n", "2"}}) })
	news := get(c.XRead(ctx, &redis.XReadArgs{Streams: []string{k("x"), first}, Block: 5 * time.Second}).Result())
	holds(len(news) == 1 && news[0].Stream == k("x") && len(news[0].Messages) == 1, "XREAD: %v", news)
	equal(news[0].Messages[0].Values, map[string]any{"n": "2"})
	equal(len(get(c.XRange(ctx, k("x"), "-", "+").Result())), 2)
	equal(get(c.XRevRangeN(ctx, k("x"), "+", "-", 1).Result())[0].ID, news[0].Messages[0].ID)
	info := get(c.XInfoStream(ctx, k("x")).Result())
	equal([]any{info.Length, info.FirstEntry.ID}, []any{int64(2), first})
	equal(get(c.XTrimMaxLen(ctx, k("x"), 1).Result()), int64(1))
}

func places(t trial) {
	c, k := t.client, t.k
	palermo := &redis.GeoLocation{Name: "Palermo", Longitude: 13.361389, Latitude: 38.115556}
	catania := &redis.GeoLocation{Name: "Catania", Longitude: 15.087269, Latitude: 37.502669}
	equal(get(c.GeoAdd(ctx, k("geo"), palermo, catania).Result()), int64(2))
	equal(math.Round(get(c.GeoDist(ctx, k("geo"), "Palermo", "Catania", "km").Result())), 166.0)
	query := redis.GeoSearchQuery{Longitude: 15, Latitude: 37, Radius: 100, RadiusUnit: "km"}
	equal(get(c.GeoSearch(ctx, k("geo"), &query).Result()), []string{"Catania"})
	found := get(c.GeoSearchLocation(ctx, k("geo"), &redis.GeoSearchLocationQuery{GeoSearchQuery: query, WithDist: true, WithCoord: true}).Result())
	holds(len(found) == 1 && math.Abs(found[0].Longitude-15.087269) < 1e-5 && found[0].Dist > 50, "found %v", found)
	holds(math.Abs(get(c.GeoPos(ctx, k("geo"), "Palermo").Result())[0].Latitude-38.115556) < 1e-5, "Palermo has moved")
}

// One node scans the whole cluster.
func scan(t trial) {
	var wanted []string
	for n := 0; n < 300; n++ {
		wanted = append(wanted, t.anywhere(fmt.Sprint("scan:", n)))
		must(t.client.Set(ctx, wanted[n], "", 0).Err())
	}
	node, found := plain(t.protocol), map[string]bool{}
	defer node.Close()
	iterator := node.Scan(ctx, 0, t.anywhere("scan:*"), 200).Iterator()
	for iterator.Next(ctx) {
		found[iterator.Val()] = true
	}
	must(iterator.Err())
	var names []string
	for name := range found {
		names = append(names, name)
	}
	equal(sorted(names), sorted(wanted))
}

func pipelines(t trial) {
	var read *redis.StringCmd
	commands, err := t.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, t.k("p"), 1, 0)
		pipe.Incr(ctx, t.k("p"))
		pipe.LPush(ctx, t.k("p"), "x")
		read = pipe.Get(ctx, t.k("p"))
		return nil
	})
	fails(err, "WRONGTYPE")
	fails(commands[2].Err(), "WRONGTYPE")
	equal(get(read.Result()), "2")
	scattered := t.client.Pipeline()
	for n := 0; n < 1000; n++ {
		scattered.IncrBy(ctx, t.anywhere(fmt.Sprint("scattered:", n)), int64(n))
	}
	for n, command := range get(scattered.Exec(ctx)) {
		equal(command.(*redis.IntCmd).Val(), int64(n))
	}
}

func transactions(t trial) {
	c, k := t.client, t.k
	commands, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, k("t"), 1, 0)
		pipe.Incr(ctx, k("t"))
		pipe.LPush(ctx, k("t"), "x")
		pipe.Get(ctx, k("t"))
		return nil
	})
	fails(err, "WRONGTYPE")
	fails(commands[2].Err(), "WRONGTYPE")
	equal(commands[3].(*redis.StringCmd).Val(), "2")
}

// Twenty goroutines add to one number by reading, and writing if nobody else has.
func watch(t trial) {
	c, key := t.client, t.k("watched")
	overtaken := c.Watch(ctx, func(tx *redis.Tx) error {
		must(c.Set(ctx, key, 0, 0).Err())
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Set(ctx, key, "mine", 0).Err() })
		return err
	}, key)
	equal(overtaken, redis.TxFailedErr)
	add := func(tx *redis.Tx) error {
		n, err := tx.Get(ctx, key).Int()
		if err != nil {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Set(ctx, key, n+1, 0).Err() })
		return err
	}
	atOnce(20, func(int) {
		err := c.Watch(ctx, add, key)
		for errors.Is(err, redis.TxFailedErr) {
			err = c.Watch(ctx, add, key)
		}
		must(err)
	})
	equal(get(c.Get(ctx, key).Int()), 20)
}

func scripts(t trial) {
	c, k := t.client, t.k
	reply := get(c.Eval(ctx, "return {KEYS[1], ARGV[1], 2.9, redis.call('SET', KEYS[1], ARGV[1])}", []string{k("e")}, "v").Result())
	equal(reply, []any{k("e"), "v", int64(2), "OK"})
	fails(c.EvalSha(ctx, strings.Repeat("f", 40), []string{k("e")}).Err(), "NOSCRIPT")
	add := redis.NewScript("return redis.call('INCRBY', KEYS[1], ARGV[1])")
	equal(get(add.Run(ctx, c, []string{k("n")}, 2).Int()), 2)
	equal(get(add.EvalSha(ctx, c, []string{k("n")}, 3).Int()), 5)
	must(add.Load(ctx, c).Err()) // a cluster's client has every node learn it, and asks every node
	equal(get(add.Exists(ctx, c).Result()), []bool{true})
	fails(c.Eval(ctx, "return redis.error_reply('MINE it is')", []string{k("e")}).Err(), "MINE it is")
	equal(c.Eval(ctx, "return false", []string{k("e")}).Err(), redis.Nil)
	equal(get(c.EvalRO(ctx, "return redis.call('GET', KEYS[1])", []string{k("e")}).Text()), "v")
}

func pubSub(t trial) {
	channel, pattern := t.k("news"), "*"+run+":*:news"
	subscriber := t.client.Subscribe(ctx, channel)
	defer subscriber.Close()
	get(subscriber.Receive(ctx))
	must(subscriber.PSubscribe(ctx, pattern))
	get(subscriber.Receive(ctx))
	must(subscriber.Ping(ctx, "there"))
	equal(get(subscriber.Receive(ctx)).(*redis.Pong).Payload, "there")
	must(t.client.Publish(ctx, channel, "one").Err())
	var patterns []string
	for range [2]int{} {
		message := get(subscriber.ReceiveMessage(ctx))
		equal([]string{message.Channel, message.Payload}, []string{channel, "one"})
		patterns = append(patterns, message.Pattern)
	}
	equal(sorted(patterns), []string{"", pattern})
	must(subscriber.Unsubscribe(ctx, channel))
	equal(get(subscriber.Receive(ctx)).(*redis.Subscription).Count, 1)

	sharded := t.client.SSubscribe(ctx, channel)
	defer sharded.Close()
	get(sharded.Receive(ctx))
	must(t.client.SPublish(ctx, channel, "two").Err())
	select {
	case message := <-sharded.Channel():
		equal(message.Payload, "two")
	case <-time.After(patience):
		panic("nothing came on a channel of a slot")
	}
}

// Contexts beside the replies, as push frames and as attributes: replies are read as ever.
func causality(t trial) {
	if t.protocol == 2 {
		return
	}
	client := plain(t.protocol)
	defer client.Close()
	for _, mode := range []string{"PUSH", "ATTR", "OFF"} {
		alone := client.Conn()
		must(alone.Do(ctx, "DOT.MODE", mode).Err())
		for n := 0; n < 100; n++ {
			must(alone.Set(ctx, t.k("shown"), n, 0).Err())
			equal(get(alone.Get(ctx, t.k("shown")).Int()), n)
		}
		shown := get(alone.Do(ctx, "DOT.GET", t.k("shown")).Result()).(map[any]any)
		siblings := shown["siblings"].([]any)
		equal(siblings[0].(map[any]any)["value"], "99")
		must(alone.Do(ctx, "DOT.MODE", "OFF").Err())
		must(alone.Close())
	}
}

// What these commands answer a cluster's client, go-redis reads into its own types.
func aMap(t trial) {
	node := plain(t.protocol)
	defer node.Close()
	slots, covered := get(node.ClusterSlots(ctx).Result()), 0
	for _, slot := range slots {
		covered += slot.End - slot.Start + 1
	}
	equal(covered, 16384)
	equal(len(get(node.ClusterShards(ctx).Result())), len(addresses))
	equal(strings.Count(get(node.ClusterNodes(ctx).Result()), "master"), len(addresses))
	equal(get(node.ClusterKeySlot(ctx, "foo").Result()), int64(12182))
	equal(len(get(node.ClusterMyID(ctx).Result())), 40)
}

// The client takes each of many keys to the node that coordinates it.
func byNode(t trial) {
	cluster, isOne := t.client.(*redis.ClusterClient)
	if !isOne {
		return
	}
	var asked atomic.Int64
	must(cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		asked.Add(1)
		return node.Ping(ctx).Err()
	}))
	equal(asked.Load(), int64(len(addresses)))
	nodes := map[string]bool{}
	for n := 0; n < 100; n++ {
		node := get(cluster.MasterForKey(ctx, t.anywhere(n)))
		nodes[node.Options().Addr] = true
	}
	equal(len(nodes), len(addresses))
}

func atOnce(count int, act func(n int)) {
	var all sync.WaitGroup
	failed := make(chan any, count)
	for n := 0; n < count; n++ {
		all.Add(1)
		go func(n int) {
			defer all.Done()
			defer func() {
				if why := recover(); why != nil {
					failed <- why
				}
			}()
			act(n)
		}(n)
	}
	all.Wait()
	select {
	case why := <-failed:
		panic(why)
	default:
	}
}

func manyAtOnce(t trial) {
	atOnce(50, func(worker int) {
		for n := 0; n < 100; n++ {
			must(t.client.Incr(ctx, t.anywhere(fmt.Sprint("many:", n))).Err())
		}
	})
	for n := 0; n < 100; n++ {
		equal(get(t.client.Get(ctx, t.anywhere(fmt.Sprint("many:", n))).Int()), 50)
	}
}

// One of the nodes is killed in the midst of writes: they go on without it, and nothing acknowledged is lost.
func aKill(client redis.UniversalClient) {
	acknowledged := map[string]int{}
	write := func(n int) error {
		key := fmt.Sprint(run, ":killed:", n%500)
		err := client.Set(ctx, key, n, 0).Err()
		if err == nil {
			acknowledged[key] = n
		}
		return err
	}
	n := 0
	for ; n < 500; n++ {
		must(write(n))
	}
	fmt.Println("KILL")
	get(bufio.NewReader(os.Stdin).ReadString('\n'))
	began := time.Now()
	for inARow := 0; inARow < 500; n++ {
		inARow++
		if write(n) != nil {
			inARow = 0
		}
		holds(time.Since(began) < patience, "it does not go on without the third: %d tried", n)
	}
	for key, n := range acknowledged {
		read := get(client.Get(ctx, key).Int())
		holds(read >= n, "%s: %d was acknowledged, and %d is there", key, n, read)
	}
}

func try(name string, act func()) {
	began := time.Now()
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("FAIL %s: %v\n", name, why)
			os.Exit(1)
		}
		fmt.Printf("ok   %s (%d ms)\n", name, time.Since(began).Milliseconds())
	}()
	act()
}

func main() {
	for _, port := range os.Args[1:] {
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	if len(addresses) == 0 {
		fmt.Println("usage: go_redis PORT [PORT PORT]")
		os.Exit(1)
	}
	checks := []struct {
		name string
		act  func(trial)
	}{
		{"handshake", handshake}, {"connection", connection}, {"strings", stringKeys}, {"bytes and bits", bytesAndBits},
		{"hashes", hashes}, {"sets", sets}, {"sorted sets", sortedSets}, {"lists", lists}, {"blocking", blocking},
		{"streams", streams}, {"places", places}, {"scan", scan}, {"pipelines", pipelines}, {"transactions", transactions},
		{"watch", watch}, {"scripts", scripts}, {"pub/sub", pubSub}, {"causality", causality},
		{"a map", aMap}, {"by node", byNode}, {"many at once", manyAtOnce},
	}
	for _, protocol := range []int{2, 3} {
		t := trial{connect(protocol, ""), protocol}
		for _, check := range checks {
			try(fmt.Sprintf("RESP%d %s", protocol, check.name), func() { check.act(t) })
		}
		must(t.client.Close())
	}
	if isCluster() {
		client := connect(3, "")
		try("a node is killed", func() { aKill(client) })
		must(client.Close())
	}
}
