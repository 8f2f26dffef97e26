//! EVAL: a Lua script where its keys are coordinated, all of them in one slot; what it writes is one atomic batch, and that is
//! what the other replicas are told, not the script.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{HookTriggers, Lua, LuaOptions, StdLib, Table, Value, Variadic, VmState};
use replica::{ByteString, Failure, Keys};

use crate::acl::User;
use crate::command::permits::check_in_script;
use crate::command::refusal::{Done, Refused};
use crate::command::requests::call;
use crate::command::{ANYWHERE, Arguments, Command, KeyPlaces, NO_KEYS, carry_out, here, inner_of, monitor};
use crate::gather::Step;
use crate::node::Node;
use crate::resp::{DoubleText, Reply};
use crate::scripts::sha1_hex;
use crate::session::Session;

const GROUP: &str = "scripting";
const KEYS: KeyPlaces = KeyPlaces::Scripted;
const EVAL: &[&str] = &["write", "denyoom", "noscript"];
/// What a script may allocate.
const MEMORY_BYTES: usize = 64 * 1024 * 1024;
/// After so many steps of a script the clock is looked at.
const STEPS: u32 = 10_000;
/// How many results `unpack` gives: each crosses between Lua and the server in a slot of its own.
const UNPACKED: i64 = 4_096;
/// How many steps a pattern may take, reckoned as the length of the text to the power of its repetitions.
const PATTERN_STEPS: f64 = 1e8;
/// How many values, and bytes of text, a script may return or encode.
const RETURNED_VALUES: usize = 1_000_000;
const RETURNED_BYTES: usize = 64 * 1024 * 1024;

/// What every script starts with. Errors of commands are tables with `err`, as in Redis 7; and whose time is over does not catch
/// that.
const PRELUDE: &str = r"
local check_time, guard, flatten, fits = ...
local pcall_, error_, type_, unpack_, select_, tostring_ = pcall, error, type, unpack, select, tostring
local depth = 0
local function finish(...)
    depth = depth - 1
    check_time()
    return ...
end
local function pack(...) return {...}, select_('#', ...) end
-- The interpreter's own pcall puts its verdict before as many results as there are, for which there may be no room.
function pcall(what, ...)
    if depth >= 100 then error_('pcall is nested more than 100 deep', 0) end
    depth = depth + 1
    local given, count = pack(...)
    local ok, why = pcall_(function() given, count = pack(what(unpack_(given, 1, count))) end)
    if ok then return finish(true, unpack_(given, 1, count)) end
    return finish(false, why)
end
function unpack(list, from, to)
    from, to = flatten(list, from, to)
    return unpack_(list, from, to)
end
for _, name in ipairs({'find', 'match', 'gmatch', 'gsub'}) do
    local plain = string[name]
    string[name] = function(text, pattern, ...)
        guard(text, pattern)
        return plain(text, pattern, ...)
    end
end
local rep = string.rep
function string.rep(text, count)
    fits(text, count)
    return rep(text, count)
end
string.dump = nil
getmetatable('').__metatable = false
local function call(tell)
    return function(...)
        local said = tell(...)
        if type_(said) == 'table' and said.err then error_(said, 0) end
        return said
    end
end
local function run(script)
    local given
    local ok, said = pcall_(function() given = script() end)
    if ok then return given, nil end
    if type_(said) == 'table' and said.err then return nil, tostring_(said.err) end
    if type_(said) == 'table' then return nil, 'ERR the script failed with a table' end
    return nil, tostring_(said)
end
return call, run
";

pub(super) static COMMANDS: &[Command] = &[
    here("EVAL", -3, EVAL, KEYS, GROUP, "Carries out a Lua script where its keys are.", eval).and_there(eval_there),
    here("EVALSHA", -3, EVAL, KEYS, GROUP, "Carries out a script this node knows.", evalsha),
    here("EVAL_RO", -3, EVAL, KEYS, GROUP, "As EVAL; it is up to the script to write nothing.", eval)
        .and_there(eval_there),
    here("EVALSHA_RO", -3, EVAL, KEYS, GROUP, "As EVALSHA; it is up to the script to write nothing.", evalsha),
    here(
        "SCRIPT",
        -2,
        &["noscript", ANYWHERE],
        NO_KEYS,
        GROUP,
        "LOAD, EXISTS, FLUSH: scripts this node knows.",
        script,
    ),
];

fn eval(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    node.scripts.keep(arguments.get(1));
    call_script(arguments, session, node)
}

/// The coordinator need not know the script: it is sent along.
fn evalsha(arguments: &Arguments<'_>, session: &mut Session, node: &Arc<Node>) -> Step {
    let Some(source) = node.scripts.get(&arguments.text(1).to_ascii_lowercase()) else {
        return Reply::error("NOSCRIPT No matching script. Please use EVAL.").into();
    };
    let mut list = arguments.to_kept();
    list[0] = b"EVAL".to_vec().into();
    list[1] = source.to_vec().into();
    call_script(&Arguments::kept(&list), session, node)
}

fn call_script(arguments: &Arguments<'_>, session: &Session, node: &Arc<Node>) -> Step {
    match arguments.integer(2) {
        Ok(count) if count < 0 => Reply::error("ERR Number of keys can't be negative").into(),
        Ok(count) if count as u64 > (arguments.len() - 3) as u64 => {
            Reply::error("ERR Number of keys can't be greater than number of args").into()
        }
        Ok(_) => call(arguments, session, node),
        Err(refused) => refused.at_once(node),
    }
}

fn script(arguments: &Arguments<'_>, _: &mut Session, node: &Arc<Node>) -> Step {
    let reply = match (arguments.word(1).as_str(), arguments.len()) {
        ("LOAD", 3) => match interpreter().and_then(|lua| compile(&lua, arguments.get(2)).map(drop)) {
            Ok(()) => Reply::bulk(node.scripts.keep(arguments.get(2))),
            Err(why) => Reply::error(error_text(&why, arguments.get(2))),
        },
        ("EXISTS", 3..) => {
            let is_known = |sha: &[u8]| node.scripts.get(&String::from_utf8_lossy(sha).to_ascii_lowercase()).is_some();
            Reply::Array(arguments.skip(2).map(|sha| Reply::Integer(is_known(sha).into())).collect())
        }
        ("FLUSH", 2 | 3) => {
            node.scripts.clear();
            Reply::ok()
        }
        ("KILL", 2) => Reply::error("NOTBUSY No scripts in execution right now."),
        ("LOAD" | "EXISTS" | "FLUSH" | "KILL", _) => {
            Reply::wrong_number_of_arguments(&format!("script|{}", arguments.text(1).to_ascii_lowercase()))
        }
        _ => Reply::error(format!("ERR unknown subcommand '{}'. Try SCRIPT HELP.", arguments.text(1))),
    };
    reply.into()
}

thread_local! {
    /// One interpreter per worker; each script has an environment of its own.
    static LUA: RefCell<Option<Lua>> = const { RefCell::new(None) };
}

fn eval_there(arguments: &Arguments<'_>, keys: &mut Keys<'_, '_>, node: &Arc<Node>) -> Done {
    let count = usize::try_from(arguments.integer(2)?).unwrap_or(0);
    let named: Vec<&[u8]> = (3..3 + count).map(|at| arguments.get(at)).collect();
    let others: Vec<&[u8]> = arguments.skip(3 + count).collect();
    let limit = Duration::from_millis(node.config.script_ms.get());
    let script = Script { source: arguments.get(1), asker: arguments.asker(), reach: Reach::Anything, limit };
    carry_out_script(&script, (&named, &others), Some(keys), node).map_err(Refused::Failure)
}

/// A script.
pub(crate) struct Script<'a> {
    /// Its text.
    pub(crate) source: &'a [u8],
    /// On whose behalf, where that one may not do everything.
    pub(crate) asker: Option<&'a Arc<User>>,
    /// What it may call.
    pub(crate) reach: Reach,
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// What a script may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Commands with keys.
    Keys,
    /// Others as well, like PUBLISH.
    Anything,
}

/// Carries a script out on this thread, with the keys that are here, if it has to do with any.
///
/// # Errors
/// The [`Failure`] of a command that was refused, or of the store; nothing of the script's may stay then.
pub(crate) fn carry_out_script(
    script: &Script<'_>,
    words: (&[&[u8]], &[&[u8]]),
    keys: Option<&mut Keys<'_, '_>>,
    node: &Arc<Node>,
) -> Result<Reply, Failure> {
    let lua = LUA.with(|lua| lua.take());
    let lua = match lua.map_or_else(interpreter, Ok) {
        Ok(lua) => lua,
        Err(why) => return Ok(Reply::error(format!("ERR no interpreter: {why}"))),
    };
    let mut store_failed = None;
    lua.set_app_data(Time { began: Instant::now(), limit: script.limit });
    let said = run(&lua, script, words, keys, node, &mut store_failed);
    if let Some(failure) = store_failed {
        return Err(failure);
    }
    match said {
        // One that has failed may be full, or worse: the next script gets another.
        Err(why) => Ok(Reply::error(error_text(&why, script.source))),
        Ok(said) => {
            if lua.used_memory() > MEMORY_BYTES / 8 {
                drop(lua.gc_collect());
            }
            LUA.with(|slot| slot.replace(Some(lua)));
            Ok(said)
        }
    }
}

/// What scripts have no business with: other code, other environments, coroutines (which the clock would not see), the collector.
const FORBIDDEN: &[&str] = &[
    "dofile",
    "loadfile",
    "load",
    "loadstring",
    "print",
    "collectgarbage",
    "newproxy",
    "module",
    "require",
    "getfenv",
    "setfenv",
    "xpcall",
    "coroutine",
    "gcinfo",
];

/// When a script began, and how long it may take.
struct Time {
    began: Instant,
    limit: Duration,
}

fn check_time(lua: &Lua) -> mlua::Result<()> {
    match lua.app_data_ref::<Time>() {
        Some(time) if time.began.elapsed() > time.limit => Err(mlua::Error::runtime(format!(
            "the script took longer than {} ms (CONFIG SET lua-time-limit)",
            time.limit.as_millis()
        ))),
        _ => Ok(()),
    }
}

/// With what does no harm: no files, no processes, no loading of other code.
fn interpreter() -> mlua::Result<Lua> {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::new().catch_rust_panics(false))?;
    lua.set_memory_limit(MEMORY_BYTES)?;
    let globals = lua.globals();
    let check = lua.create_function(|lua, ()| check_time(lua))?;
    let guard = lua.create_function(|_, (text, pattern): (mlua::String, mlua::String)| {
        let repeats = |byte: &u8| matches!(byte, b'*' | b'+' | b'-' | b'?');
        let (length, repeats) =
            (text.as_bytes().len() as f64 + 1.0, pattern.as_bytes().iter().filter(|b| repeats(b)).count());
        if length.powi(i32::try_from(repeats.max(1)).unwrap_or(i32::MAX)) > PATTERN_STEPS {
            return Err(mlua::Error::runtime("the pattern may take too long on so long a text"));
        }
        Ok(())
    })?;
    let flatten = lua.create_function(|_, (list, from, to): (Table, Option<f64>, Option<f64>)| {
        let (from, to) = (from.unwrap_or(1.0) as i64, to.map_or(list.raw_len() as i64, |to| to as i64));
        if to.saturating_sub(from) >= UNPACKED {
            return Err(mlua::Error::runtime(format!("too many results to unpack: up to {UNPACKED} are")));
        }
        Ok((from, to))
    })?;
    let fits = lua.create_function(|_, (text, count): (mlua::String, f64)| {
        if count > MEMORY_BYTES as f64 || count * text.as_bytes().len() as f64 > MEMORY_BYTES as f64 {
            return Err(mlua::Error::runtime(format!("not enough memory: a script may take {MEMORY_BYTES} bytes")));
        }
        Ok(())
    })?;
    let (call, run): (mlua::Function, mlua::Function) = lua.load(PRELUDE).call((check, guard, flatten, fits))?;
    lua.set_named_registry_value("call", call)?;
    lua.set_named_registry_value("run", run)?;
    for name in FORBIDDEN {
        globals.set(*name, Value::Nil)?;
    }
    let json = lua.create_table()?;
    json.set(
        "encode",
        lua.create_function(|lua, value: Value| {
            lua.create_string(to_json(lua, &value, &mut Budget::default())?.to_string())
        })?,
    )?;
    json.set(
        "decode",
        lua.create_function(|lua, text: mlua::String| {
            let value = serde_json::from_slice(&text.as_bytes()).map_err(mlua::Error::external)?;
            from_json(lua, &value)
        })?,
    )?;
    globals.set("cjson", json)?;
    Ok(lua)
}

fn run(
    lua: &Lua,
    Script { source, asker, reach, .. }: &Script<'_>,
    (named, others): (&[&[u8]], &[&[u8]]),
    keys: Option<&mut Keys<'_, '_>>,
    node: &Arc<Node>,
    store_failed: &mut Option<Failure>,
) -> mlua::Result<Reply> {
    lua.set_hook(HookTriggers::new().every_nth_instruction(STEPS), |lua, _| {
        check_time(lua).map(|()| VmState::Continue)
    })?;
    let environment = environment(lua, named, others)?;
    let redis: Table = environment.raw_get("redis")?;
    let (keys, failed) = (RefCell::new(keys), RefCell::new(store_failed));
    let carry_out_one = |list: Variadic<Value>| -> mlua::Result<Reply> {
        let list = list.iter().map(argument).collect::<mlua::Result<Vec<ByteString>>>()?;
        if list.is_empty() {
            return Err(mlua::Error::runtime("Please specify at least one argument for this redis.call() call"));
        }
        let arguments = Arguments::kept(&list).on_behalf_of(*asker);
        let called = [super::find(arguments.get(0)), inner_of(&arguments)];
        if called.iter().flatten().any(|command| command.has("noscript")) {
            return Ok(Reply::error("ERR This Redis command is not allowed from script"));
        }
        if *reach == Reach::Keys && called.iter().flatten().any(|command| command.keys == NO_KEYS) {
            return Ok(Reply::error("ERR this script looks at its key, and calls nothing that has none"));
        }
        monitor::show_scripts(&arguments, node);
        if let Some(Err(refused)) = asker.map(|asker| check_in_script(&arguments, asker, node)) {
            return Ok(refused);
        }
        let mut keys = keys.borrow_mut();
        let Some(keys) = keys.as_deref_mut() else {
            return Err(mlua::Error::runtime("there are no keys here: this script only makes one value of two"));
        };
        carry_out(&arguments, keys, node).map_err(|failure| {
            failed.borrow_mut().replace(failure);
            mlua::Error::runtime("the store failed")
        })
    };
    let store_has_failed = || failed.borrow().is_some();
    let said = lua.scope(|scope| {
        let tell = scope.create_function(|lua, list: Variadic<Value>| {
            check_time(lua)?;
            let reply = carry_out_one(list).or_else(|why| match store_has_failed() {
                true => Err(why),
                false => Ok(Reply::error(format!("ERR {}", message(&why)))),
            })?;
            to_lua(lua, &reply)
        })?;
        let call: mlua::Function = lua.named_registry_value("call")?;
        redis.raw_set("call", call.call::<mlua::Function>(tell.clone())?)?;
        redis.raw_set("pcall", tell)?;
        let script = compile(lua, source)?;
        script.set_environment(environment.clone())?;
        let run: mlua::Function = lua.named_registry_value("run")?;
        match run.call::<(Value, Option<mlua::String>)>(script)? {
            (_, Some(why)) => Err(mlua::Error::runtime(why.to_string_lossy())),
            (value, None) => from_lua(lua, &value, &mut Budget::default()),
        }
    });
    lua.remove_hook();
    said
}

/// Text only: compiled code could do anything.
fn compile(lua: &Lua, source: &[u8]) -> mlua::Result<mlua::Function> {
    lua.load(source).set_mode(mlua::ChunkMode::Text).set_name("@user_script").into_function()
}

/// `KEYS`, `ARGV`, `redis`, and whatever is safe; nothing of it outlives the script.
fn environment(lua: &Lua, named: &[&[u8]], others: &[&[u8]]) -> mlua::Result<Table> {
    let (environment, redis, guard) = (lua.create_table()?, lua.create_table()?, lua.create_table()?);
    // One by one: what is held on this side takes a slot of the interpreter each.
    let list = |words: &[&[u8]]| -> mlua::Result<Table> {
        let table = lua.create_table_with_capacity(words.len(), 0)?;
        for (place, word) in words.iter().enumerate() {
            table.raw_set(place + 1, lua.create_string(word)?)?;
        }
        Ok(table)
    };
    environment.raw_set("KEYS", list(named)?)?;
    environment.raw_set("ARGV", list(others)?)?;
    let with = |field: &'static str| {
        lua.create_function(move |lua, text: mlua::String| {
            let table = lua.create_table()?;
            table.raw_set(field, text)?;
            Ok(table)
        })
    };
    redis.raw_set("error_reply", with("err")?)?;
    redis.raw_set("status_reply", with("ok")?)?;
    redis.raw_set("sha1hex", lua.create_function(|_, text: mlua::String| Ok(sha1_hex(&text.as_bytes())))?)?;
    redis.raw_set("log", lua.create_function(|_, _: Variadic<Value>| Ok(()))?)?;
    redis.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.raw_set("setresp", lua.create_function(|_, _: Value| Ok(()))?)?;
    for (level, name) in ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].into_iter().enumerate() {
        redis.raw_set(name, level)?;
    }
    environment.raw_set("redis", redis)?;
    let globals = lua.globals();
    for pair in globals.pairs::<Value, Value>() {
        let (name, value) = pair?;
        // Tables are copied, that no script changes what the next one finds.
        let value = match value {
            Value::Table(table) if name.as_string().is_some_and(|name| name != "_G") => {
                let copy = lua.create_table()?;
                for pair in table.pairs::<Value, Value>() {
                    let (name, value) = pair?;
                    copy.raw_set(name, value)?;
                }
                Value::Table(copy)
            }
            Value::Table(_) => continue,
            other => other,
        };
        environment.raw_set(name, value)?;
    }
    let refuse = |what: &'static str| {
        lua.create_function(move |_, (_, name): (Table, mlua::String)| -> mlua::Result<()> {
            Err(mlua::Error::runtime(format!(
                "Script attempted to {what} global variable '{}'",
                name.to_string_lossy()
            )))
        })
    };
    guard.raw_set("__newindex", refuse("create")?)?;
    guard.raw_set("__index", refuse("access nonexistent")?)?;
    guard.raw_set("__metatable", false)?;
    environment.set_metatable(Some(guard))?;
    Ok(environment)
}

fn message(why: &mlua::Error) -> String {
    match why {
        mlua::Error::RuntimeError(text) => text.lines().next().unwrap_or_default().to_owned(),
        mlua::Error::CallbackError { cause, .. } => message(cause),
        mlua::Error::ExternalError(why) => why.to_string(),
        mlua::Error::MemoryError(_) => format!("not enough memory: a script may take {MEMORY_BYTES} bytes"),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// What a client is told of a script that failed: the error of the command that failed, if it was one.
fn error_text(why: &mlua::Error, source: &[u8]) -> String {
    if let mlua::Error::SyntaxError { message, .. } = why {
        return format!("ERR Error compiling script (new function): {}", message.lines().next().unwrap_or_default());
    }
    let text = message(why);
    let text = text.strip_prefix("runtime error: ").unwrap_or(&text).to_owned();
    let has_code =
        text.split(' ').next().is_some_and(|code| code.len() > 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()));
    let text = if has_code { text } else { format!("ERR {text}") };
    format!("{text} script: {}, on @user_script:1.", sha1_hex(source))
}

/// An argument of a command.
fn argument(value: &Value) -> mlua::Result<ByteString> {
    match value {
        Value::String(text) => Ok(ByteString(text.as_bytes().to_vec())),
        Value::Integer(number) => Ok(ByteString(number.to_string().into_bytes())),
        Value::Number(number) => Ok(ByteString(DoubleText::new(*number).as_bytes().to_vec())),
        _ => Err(mlua::Error::runtime("Lua redis lib command arguments must be strings or integers")),
    }
}

fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    let field = |name: &str, text: &str| -> mlua::Result<Value> {
        let table = lua.create_table()?;
        table.raw_set(name, lua.create_string(text)?)?;
        Ok(Value::Table(table))
    };
    let list = |items: &mut dyn Iterator<Item = &Reply>| -> mlua::Result<Value> {
        let table = lua.create_table()?;
        for (place, item) in items.enumerate() {
            table.raw_set(place + 1, to_lua(lua, item)?)?;
        }
        Ok(Value::Table(table))
    };
    match reply {
        Reply::Simple(text) => field("ok", text),
        Reply::Error(text) => field("err", text),
        Reply::Integer(number) => Ok(Value::Number(*number as f64)),
        Reply::Double(number) => Ok(Value::String(lua.create_string(DoubleText::new(*number).as_bytes())?)),
        Reply::Boolean(value) => Ok(Value::Number(f64::from(u8::from(*value)))),
        Reply::Bulk(bytes) => Ok(Value::String(lua.create_string(bytes)?)),
        Reply::Verbatim(text) | Reply::Decimal(text) => Ok(Value::String(lua.create_string(text)?)),
        Reply::Null | Reply::NullArray => Ok(Value::Boolean(false)),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(&mut items.iter()),
        Reply::Map(pairs) | Reply::Pairs(pairs) | Reply::Attribute(pairs) => {
            list(&mut pairs.iter().flat_map(|(key, value)| [key, value]))
        }
        Reply::Keyed(pairs) => {
            let pairs: Vec<Reply> =
                pairs.iter().map(|(key, value)| Reply::Array(vec![key.clone(), value.clone()])).collect();
            list(&mut pairs.iter())
        }
    }
}

/// How deep what a script returns or encodes may nest.
const DEPTH: usize = 64;

/// How much of what a script returns or encodes has been taken.
#[derive(Default)]
struct Budget {
    depth: usize,
    values: usize,
    bytes: usize,
}

impl Budget {
    fn take(&mut self, lua: &Lua, bytes: usize) -> mlua::Result<()> {
        (self.values, self.bytes) = (self.values + 1, self.bytes + bytes);
        if self.depth > DEPTH {
            return Err(mlua::Error::runtime(format!("what the script gives nests more than {DEPTH} deep")));
        }
        if self.values > RETURNED_VALUES || self.bytes > RETURNED_BYTES {
            let why = format!("what the script gives is more than {RETURNED_VALUES} values or {RETURNED_BYTES} bytes");
            return Err(mlua::Error::runtime(why));
        }
        if self.values.is_multiple_of(1_024) { check_time(lua) } else { Ok(()) }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> mlua::Result<T>) -> mlua::Result<T> {
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }
}

fn from_lua(lua: &Lua, value: &Value, budget: &mut Budget) -> mlua::Result<Reply> {
    budget.take(lua, if let Value::String(text) = value { text.as_bytes().len() } else { 16 })?;
    Ok(match value {
        Value::String(text) => Reply::copied(&text.as_bytes()),
        Value::Integer(number) => Reply::Integer(*number),
        Value::Number(number) => Reply::Integer(*number as i64),
        Value::Boolean(true) => Reply::Integer(1),
        Value::Table(table) => {
            if let Value::String(text) = table.raw_get("err")? {
                return Ok(Reply::error(text.to_string_lossy()));
            }
            if let Value::String(text) = table.raw_get("ok")? {
                return Ok(Reply::Simple(text.to_string_lossy().replace(['\r', '\n'], " ").into()));
            }
            if let Value::Number(number) = table.raw_get("double")? {
                return Ok(Reply::Double(number));
            }
            let mut items = Vec::new();
            for at in 1.. {
                match table.raw_get(at)? {
                    Value::Nil => break,
                    item => items.push(budget.deeper(|budget| from_lua(lua, &item, budget))?),
                }
            }
            Reply::Array(items)
        }
        _ => Reply::Null,
    })
}

fn to_json(lua: &Lua, value: &Value, budget: &mut Budget) -> mlua::Result<serde_json::Value> {
    use serde_json::Value as Json;
    budget.take(lua, if let Value::String(text) = value { text.as_bytes().len() } else { 16 })?;
    Ok(match value {
        Value::Nil => Json::Null,
        Value::Boolean(value) => Json::Bool(*value),
        Value::Integer(number) => Json::from(*number),
        Value::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => Json::from(*number as i64),
        Value::Number(number) if number.is_finite() => Json::from(*number),
        Value::String(text) => Json::from(text.to_string_lossy()),
        Value::LightUserData(_) => Json::Null,
        Value::Table(table) if table.raw_len() > 0 => {
            let mut items = Vec::new();
            for at in 1..=table.raw_len() {
                let item: Value = table.raw_get(at)?;
                items.push(budget.deeper(|budget| to_json(lua, &item, budget))?);
            }
            Json::Array(items)
        }
        Value::Table(table) => {
            let mut object = serde_json::Map::new();
            for pair in table.pairs::<Value, Value>() {
                let (name, value) = pair?;
                let name = String::from_utf8_lossy(&argument(&name)?.0).into_owned();
                object.insert(name, budget.deeper(|budget| to_json(lua, &value, budget))?);
            }
            Json::Object(object)
        }
        _ => return Err(mlua::Error::runtime("Cannot serialise: type or number not supported")),
    })
}

fn from_json(lua: &Lua, value: &serde_json::Value) -> mlua::Result<Value> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => Value::NULL,
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(0.0)),
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (place, item) in items.iter().enumerate() {
                table.raw_set(place + 1, from_json(lua, item)?)?;
            }
            Value::Table(table)
        }
        Json::Object(fields) => {
            let table = lua.create_table()?;
            for (name, value) in fields {
                table.raw_set(lua.create_string(name)?, from_json(lua, value)?)?;
            }
            Value::Table(table)
        }
    })
}
