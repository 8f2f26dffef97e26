//! Commands by chance, over few keys and values, so that they meet.

/// How many sequences are tried.
pub(crate) const SEEDS: u64 = 60;
/// How long each is.
const COMMANDS: usize = 400;

/// Templates; `k` is a key, `f` a field or member, `v` a value, `n` an integer, `i` an index, `s` a score, `d` a duration.
/// A `~` at their beginning: the reply has no order.
const TEMPLATES: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k n",
    "SET k v NX",
    "SET k v XX GET",
    "SET k v KEEPTTL",
    "SET k v EX d",
    "SETNX k v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k PERSIST",
    "APPEND k v",
    "STRLEN k",
    "GETRANGE k i i",
    "SETRANGE k 3 v",
    "INCR k",
    "DECRBY k n",
    "INCRBY k n",
    "INCRBYFLOAT k 2",
    "MGET k k",
    "MSET k v k v",
    "MSETNX k v k v",
    "EXISTS k k",
    "DEL k",
    "UNLINK k k",
    "TYPE k",
    "EXPIRE k d",
    "EXPIRE k d NX",
    // An instant: of two deadlines that are equally far away, which is later depends on the millisecond.
    "EXPIREAT k 4102444800 GT",
    "PERSIST k",
    "TTL k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k",
    "COPY k k REPLACE",
    "HSET k f v f v",
    "HSETNX k f v",
    "HGET k f",
    "HMGET k f f",
    "HDEL k f f",
    "~HGETALL k",
    "~HKEYS k",
    "~HVALS k",
    "HLEN k",
    "HEXISTS k f",
    "HSTRLEN k f",
    "HINCRBY k f n",
    "HINCRBYFLOAT k f 0.5",
    "SADD k f f",
    "SREM k f f",
    "~SMEMBERS k",
    "SISMEMBER k f",
    "SMISMEMBER k f f",
    "SCARD k",
    "SMOVE k k f",
    "~SINTER k k",
    "~SUNION k k",
    "~SDIFF k k",
    "SINTERSTORE k k k",
    "SUNIONSTORE k k k",
    "SDIFFSTORE k k k",
    "SINTERCARD 2 k k LIMIT 1",
    "ZADD k s f s f",
    "ZADD k NX s f",
    "ZADD k XX CH s f",
    "ZADD k GT CH s f",
    "ZADD k LT s f",
    "ZADD k INCR s f",
    "ZINCRBY k s f",
    "ZREM k f f",
    "ZSCORE k f",
    "ZMSCORE k f f",
    "ZCARD k",
    "ZCOUNT k -1 (3",
    "ZRANK k f",
    "ZREVRANK k f",
    "ZRANGE k i i WITHSCORES",
    "ZRANGE k i i REV",
    "ZRANGE k 1 4 BYSCORE LIMIT 0 2",
    "ZREVRANGE k i i",
    "ZRANGEBYSCORE k (1 +inf WITHSCORES",
    "ZREVRANGEBYSCORE k 9 -inf",
    "ZRANGEBYLEX k - +",
    "ZRANGESTORE k k 0 1",
    "ZREMRANGEBYRANK k 0 0",
    "ZREMRANGEBYSCORE k 2 2",
    "ZPOPMIN k",
    "ZPOPMAX k 2",
    "ZUNION 2 k k WITHSCORES",
    "ZINTER 2 k k",
    "ZDIFF 2 k k WITHSCORES",
    "ZUNIONSTORE k 2 k k WEIGHTS 2 1",
    "ZINTERSTORE k 2 k k AGGREGATE MAX",
    "ZMPOP 2 k k MIN COUNT 2",
    "LPUSH k v v",
    "RPUSH k v v v",
    "LPUSHX k v",
    "RPUSHX k v",
    "LPOP k",
    "RPOP k 2",
    "LLEN k",
    "LRANGE k i i",
    "LINDEX k i",
    "LSET k i v",
    "LINSERT k BEFORE v v",
    "LINSERT k AFTER v v",
    "LREM k i v",
    "LTRIM k i i",
    "LPOS k v",
    "LPOS k v COUNT 0 RANK -1",
    "LMOVE k k LEFT RIGHT",
    "RPOPLPUSH k k",
    "LMPOP 2 k k LEFT COUNT 2",
    "BLPOP k k 0.01",
    "BLMOVE k k LEFT LEFT 0.01",
    "SETBIT k 11 1",
    "GETBIT k 11",
    "BITCOUNT k",
    "BITCOUNT k 0 0",
    "BITPOS k 1",
    "BITOP XOR k k k",
    "BITFIELD k INCRBY u4 2 3 GET i8 0",
    "SORT k ALPHA",
    "SORT k ALPHA DESC LIMIT 0 2",
    "SORT k",
];

/// How many sequences over large keys are tried, and how long each is.
pub(crate) const LARGE_SEEDS: u64 = 8;
const LARGE_COMMANDS: usize = 500;
/// So many members or elements: their order is kept.
const LARGE: usize = 1_500;

/// Templates for a large sorted set, one whose scores are all the same, and a large list; `m` is a member, `i` a place, `s` a score.
const LARGE_TEMPLATES: &[&str] = &[
    "ZADD z s m",
    "ZADD z GT CH s m",
    "ZINCRBY z 7 m",
    "ZREM z m m",
    "ZSCORE z m",
    "ZCARD z",
    "ZRANK z m",
    "ZREVRANK z m",
    "ZRANGE z i i WITHSCORES",
    "ZREVRANGE z i i",
    "ZRANGE z s s BYSCORE LIMIT 2 5 WITHSCORES",
    "ZRANGE z s s BYSCORE REV LIMIT 1 -1",
    "ZRANGEBYSCORE z (s s",
    "ZREVRANGEBYSCORE z +inf (s LIMIT 0 3",
    "ZCOUNT z s (s",
    "ZPOPMIN z",
    "ZPOPMAX z 2",
    "ZREMRANGEBYRANK z 700 701",
    "ZREMRANGEBYSCORE z 13 13",
    "ZRANGESTORE few z i i",
    "ZRANGE few 0 -1 WITHSCORES",
    "ZRANGEBYLEX same [m (m",
    "ZREVRANGEBYLEX same + [m LIMIT 1 3",
    "ZLEXCOUNT same - [m",
    "ZRANGEBYLEX same + -",
    "ZREMRANGEBYLEX same [m1100 [m1101",
    "ZADD same 0 m",
    "ZREM same m",
    "LINDEX l i",
    "LRANGE l i i",
    "LSET l i m",
    "RPUSH l m",
    "LPOP l",
    "LINSERT l BEFORE m m",
];

/// Three large keys, and commands on them.
pub(crate) fn on_large_keys(seed: u64) -> Vec<String> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 7);
    let member = |n: usize| format!("m{n:04}");
    let mut commands = Vec::new();
    for from in (0..LARGE).step_by(500) {
        let members = from..from + 500;
        let scored: Vec<String> =
            members.clone().map(|n| format!("{} {}", dice.below(200) as i64 - 100, member(n))).collect();
        let named: Vec<String> = members.clone().map(|n| format!("0 {}", member(n))).collect();
        let elements: Vec<String> = members.map(member).collect();
        commands.push(format!("ZADD z {}", scored.join(" ")));
        commands.push(format!("ZADD same {}", named.join(" ")));
        commands.push(format!("RPUSH l {}", elements.join(" ")));
    }
    for _ in 0..LARGE_COMMANDS {
        let template = LARGE_TEMPLATES[dice.below(LARGE_TEMPLATES.len())];
        // Neighbours, for ranges that are not too long.
        let (place, score) = (dice.below(2 * LARGE) as i64 - LARGE as i64, dice.below(220) as i64 - 110);
        let (mut places, mut scores) = ([place, place + 6].into_iter(), [score, score + 2].into_iter());
        let words = template.split(' ').map(|word| match word {
            "m" => member(dice.below(LARGE + 50)),
            "[m" => format!("[{}", member(dice.below(LARGE))),
            "(m" => format!("({}", member(dice.below(LARGE))),
            "i" => places.next().unwrap_or_default().to_string(),
            "s" => scores.next().unwrap_or_default().to_string(),
            "(s" => format!("({}", scores.next().unwrap_or_default()),
            other => other.to_owned(),
        });
        commands.push(words.collect::<Vec<_>>().join(" "));
    }
    commands
}

/// A generator of one's own: the sequences stay what they are.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }
}

/// Is it refused with CROSSSLOT where its keys are in several?
fn needs_one_slot(template: &str) -> bool {
    let command = template.split(' ').next();
    matches!(command, Some("LMPOP" | "ZMPOP" | "MSETNX" | "SMOVE" | "LMOVE" | "RPOPLPUSH" | "BLMOVE"))
}

/// The commands of a seed, and whether the reply of each has no order.
pub(crate) fn commands(seed: u64) -> Vec<(String, bool)> {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    // Half of the sequences are over keys of several slots, without the commands that need one slot.
    let keys = if seed.is_multiple_of(2) { ["{t}a", "{t}b", "{t}c", "{t}d"] } else { ["a", "b", "c", "d"] };
    let templates: Vec<&str> =
        TEMPLATES.iter().copied().filter(|template| seed.is_multiple_of(2) || !needs_one_slot(template)).collect();
    // A family or two at a time: otherwise most commands meet keys of other types.
    let first = dice.below(templates.len());
    let commands = (0..COMMANDS).map(|_| {
        let template = match dice.below(3) {
            0 => templates[dice.below(templates.len())],
            _ => templates[(first + dice.below(30)) % templates.len()],
        };
        let (template, without_order) = template.strip_prefix('~').map_or((template, false), |rest| (rest, true));
        let words = template.split(' ').map(|word| match word {
            "k" => dice.one(&keys),
            "f" => dice.one(&["x", "y", "z", "10", "a-longer-one"]),
            "v" => dice.one(&["one", "two", "3", "", "x y", "-1"]),
            "n" => dice.one(&["1", "-3", "17", "9223372036854775807", "x"]),
            "i" => dice.one(&["0", "1", "-1", "2", "-3", "100", "-100"]),
            "s" => dice.one(&["1", "2", "-1.5", "3", "0.25", "inf", "(1"]),
            "d" => dice.one(&["1000", "2000", "3000"]),
            other => other,
        });
        let words = words
            .map(|word| if word.is_empty() || word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() });
        (words.collect::<Vec<_>>().join(" "), without_order)
    });
    commands.collect()
}
