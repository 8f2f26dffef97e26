//! Users and what they may do: kept in a file, held to in scripts and transactions that are carried out elsewhere, and over HTTP.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use support::{Client, Process, three_nodes};

fn as_user(node: &Process, user: &str) -> Client {
    let mut client = node.client();
    assert_eq!(client.run(&format!("AUTH {user} secret")), "OK");
    client
}

#[test]
fn users_are_kept_in_a_file() {
    let folder = tempfile::tempdir().expect("a directory");
    let (data, file) = (folder.path().join("data"), folder.path().join("users.acl"));
    std::fs::write(&file, "# people\nuser ann on >secret ~ann:* +@all -@dangerous\n").expect("it is written");
    let path = file.to_str().expect("a path").to_owned();
    let with = ["--aclfile", path.as_str(), "--requirepass", "root"];
    let mut node = Process::serve(&data, &with);
    assert_eq!(as_user(&node, "ann").run("ACL WHOAMI"), "ann");
    // Where the file has nothing of the user default, he is who --requirepass says.
    let mut root = node.client();
    assert_eq!(root.run("PING"), "NOAUTH Authentication required.");
    assert_eq!(root.run("AUTH wrong"), "WRONGPASS invalid username-password pair or user is disabled.");
    assert_eq!(root.run("AUTH root"), "OK");
    assert_eq!(root.run("ACL SETUSER ben on >secret %R~* (~ben:* +set) +get"), "OK");
    assert_eq!(root.run("ACL SAVE"), "OK");
    let listed = root.run("ACL LIST");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there").trim_end(), listed);
    assert!(!listed.contains("secret"), "passwords are not in it: {listed}");
    node.kill();

    let node = Process::serve(&data, &with);
    let mut root = node.client();
    assert_eq!(root.run("AUTH root"), "OK");
    assert_eq!(root.run("ACL LIST"), listed);
    let mut ben = as_user(&node, "ben");
    assert_eq!(ben.run("SET ben:1 x"), "OK");
    assert!(ben.run("SET ann:1 x").starts_with("NOPERM"));

    // A file with a mistake changes nothing, and the line is named.
    std::fs::write(&file, "user ann on nopass ~* +@all\nuser ben +nothing\nusr x\n").expect("it is written");
    let refused = root.run("ACL LOAD");
    assert!(refused.contains("users.acl:2: ") && refused.contains("users.acl:3: should start with user"), "{refused}");
    assert_eq!(root.run("ACL LIST"), listed);
    // Who is another now has to come again; who is the same stays.
    let mut ann = as_user(&node, "ann");
    std::fs::write(&file, listed.replace("~ann:*", "~anna:*")).expect("it is written");
    assert_eq!(root.run("ACL LOAD"), "OK");
    assert!(ann.is_closed());
    assert_eq!(ben.run("GET ben:1"), "x");
    drop(node);
    std::fs::write(&file, "user ann +nothing\n").expect("it is written");
    let Err(output) = Process::try_serve(&data, &with) else { panic!("it starts with a wrong file") };
    assert!(output.contains("users.acl:1: ") && output.contains("Unknown command"), "{output}");
}

#[test]
fn what_changes_counts_at_once() {
    let folder = tempfile::tempdir().expect("a directory");
    let node = Process::serve(folder.path(), &["--in-memory"]);
    let mut root = node.client();
    assert_eq!(root.run("ACL SETUSER ann on >secret ~a* &a* +@all"), "OK");
    let (mut ann, mut listener, mut other) = (as_user(&node, "ann"), as_user(&node, "ann"), as_user(&node, "ann"));
    assert_eq!(ann.run("SET a 1"), "OK");
    assert!(listener.run("SUBSCRIBE a1").starts_with("subscribe"));
    assert!(other.run("PSUBSCRIBE a*").starts_with("psubscribe"));
    assert_eq!(root.run("ACL SETUSER ann resetkeys ~b* &c*"), "OK");
    assert!(ann.run("SET a 2").starts_with("NOPERM this user has no permissions to access one of the keys"));
    assert_eq!(root.run("PUBLISH a1 x"), "2");
    assert!(listener.receive_text().starts_with("message"));
    // Whoever follows what he may not any more is let go.
    assert_eq!(root.run("ACL SETUSER ann resetchannels &c*"), "OK");
    assert!(listener.is_closed());
    assert_eq!(other.receive_text(), "pmessage\na*\na1\nx");
    assert!(other.is_closed());
    assert!(root.run("CLIENT LIST").contains("user=ann"));
    assert_eq!(root.run("ACL DELUSER ann"), "1");
    assert!(ann.is_closed());
    let mut late = node.client();
    assert!(late.run("AUTH ann secret").starts_with("WRONGPASS"));
    let log = root.run("ACL LOG");
    assert!(log.contains("auth\ncontext\ntoplevel\nobject\nAUTH\nusername\nann"), "{log}");
    assert!(log.contains("key\ncontext\ntoplevel\nobject\na\nusername\nann"), "{log}");
    // A default user with a password: whoever comes has to say it.
    assert_eq!(root.run("ACL SETUSER default >new"), "OK");
    assert_eq!(node.client().run("PING"), "NOAUTH Authentication required.");
    assert_eq!(root.run("PING"), "PONG");
}

/// The user is one of the node that is asked; its keys are coordinated by each of the three.
#[test]
fn scripts_and_transactions_have_the_rights_of_who_sent_them_wherever_they_are_carried_out() {
    let folder = tempfile::tempdir().expect("a directory");
    let [a, b, c] = three_nodes(folder.path());
    assert_eq!(a.client().run("ACL SETUSER ann on >secret ~{k*}mine &* +@all -lpush"), "OK");
    for other in [&b, &c] {
        assert!(other.client().run("AUTH ann secret").starts_with("WRONGPASS"), "users are of one node");
    }
    let (mut root, mut ann) = (c.client(), as_user(&a, "ann"));
    for key in 0..30 {
        let (mine, yours) = (format!("{{k{key}}}mine"), format!("{{k{key}}}yours"));
        assert_eq!(root.call(&["SET", &yours, "secret"]), "OK");
        let script = |script: &str, ann: &mut Client| ann.call(&["EVAL", script, "1", &mine, &yours]);
        assert_eq!(script("redis.call('SET', KEYS[1], 'x') return redis.call('GET', KEYS[1])", &mut ann), "x");
        let stolen = script("return redis.call('GET', ARGV[1])", &mut ann);
        assert!(
            stolen.starts_with("ERR The user executing the script can't access at least one of the keys"),
            "{stolen}"
        );
        let stolen = script("return redis.call('DOT.WITH', 'R', '1', 'GET', ARGV[1])", &mut ann);
        assert!(stolen.starts_with("ERR The user executing the script can't access"), "{stolen}");
        let pushed = script("return redis.pcall('LPUSH', KEYS[1], 'x').err", &mut ann);
        assert_eq!(pushed, "ERR The user executing the script can't run this command or subcommand");
        let sorted = script("return redis.pcall('SORT', KEYS[1], 'GET', ARGV[1] .. '*').err", &mut ann);
        assert!(sorted.contains("GET option of SORT denied"), "{sorted}");

        let load = ["SCRIPT", "LOAD", "return redis.call('GET', ARGV[1])"];
        let sha = [&a, &b, &c].map(|node| node.client().call(&load))[0].clone();
        assert_eq!(ann.run("MULTI"), "OK");
        assert_eq!(ann.call(&["GET", &mine]), "QUEUED");
        assert_eq!(ann.call(&["EVALSHA", &sha, "1", &mine, &yours]), "QUEUED");
        assert_eq!(ann.call(&["DOT.WITH", "R", "1", "GET", &mine]), "QUEUED");
        let done = ann.run("EXEC");
        assert!(done.starts_with("x\nERR The user executing the script can't access"), "{done}");
        assert!(!done.contains("secret"), "{done}");
        assert_eq!(ann.run("MULTI"), "OK");
        assert!(ann.call(&["DOT.WITH", "R", "1", "GET", &yours]).starts_with("NOPERM"));
        assert!(ann.run("EXEC").starts_with("EXECABORT"));

        // What is taken away before EXEC is not done.
        assert_eq!(ann.run("MULTI"), "OK");
        assert_eq!(ann.call(&["GET", &mine]), "QUEUED");
        assert_eq!(ann.call(&["STRLEN", &mine]), "QUEUED");
        assert_eq!(a.client().run("ACL SETUSER ann -get"), "OK");
        let done = ann.run("EXEC");
        assert!(done.starts_with("NOPERM ACLs rules changed between the moment") && done.ends_with("\n1"), "{done}");
        assert_eq!(a.client().run("ACL SETUSER ann +get"), "OK");
    }
    for command in ["DOT.WITH R 1 GET {k1}yours", "DOT.GET {k1}yours", "SORT {k1}mine BY x*", "DOT.EXPLAIN {k1}yours"] {
        let refused = ann.run(command);
        assert!(
            refused.starts_with("NOPERM") || refused.contains("denied due to insufficient ACL"),
            "{command}: {refused}"
        );
    }
    let map = ["DOT.MAPREDUCE", "return {KEYS[1], redis.call('GET', KEYS[1])}", "return ARGV[1]"];
    assert!(ann.call(&map).starts_with("NOPERM"), "it reads every key");
    let mapped = root.call(&map);
    assert!(mapped.contains("secret"), "{mapped}");
    assert_eq!(a.client().run("ACL SETUSER ann %R~*"), "OK");
    assert!(ann.call(&map).contains("secret"));
}

fn http(address: &str, login: Option<&str>, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the node listens");
    let login = login.map(|login| base64::engine::general_purpose::STANDARD.encode(login));
    let login = login.map_or_else(String::new, |login| format!("authorization: Basic {login}\r\n"));
    let request =
        format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{login}content-length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes requests");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn http_knows_the_same_users() {
    let folder = tempfile::tempdir().expect("a directory");
    let node = Process::serve(folder.path(), &["--in-memory", "--http", "127.0.0.1:0"]);
    let mut root = node.client();
    let address = root.info("http_address");
    assert_eq!(root.run("SET mine 1"), "OK");
    assert_eq!(root.run("SET yours 2"), "OK");
    assert_eq!(root.run("ACL SETUSER ann on >secret ~mine +get"), "OK");
    let status = |login: Option<&str>, request: &str| {
        http(&address, login, request).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status(None, "GET /kv/yours"), "200", "the user default needs no password yet");
    assert_eq!(root.run("ACL SETUSER default >root"), "OK");
    assert_eq!(status(None, "GET /kv/yours"), "401");
    assert_eq!(status(None, "GET /health"), "200");
    assert_eq!(status(Some("default:root"), "GET /kv/yours"), "200");
    assert_eq!(status(Some("default:wrong"), "GET /kv/yours"), "401");
    let ann = Some("ann:secret");
    assert_eq!(status(ann, "GET /kv/yours"), "403");
    // What HTTP reads with is DOT.GET.
    assert_eq!(status(ann, "GET /kv/mine"), "403");
    assert_eq!(root.run("ACL SETUSER ann +dot.get +type +strlen"), "OK");
    assert_eq!(status(ann, "GET /kv/mine"), "200");
    assert_eq!(status(ann, "DELETE /kv/mine"), "403");
    for path in ["/status", "/metrics", "/merges", "/kv"] {
        assert_eq!(status(ann, &format!("GET {path}")), "403", "{path}");
    }
    assert_eq!(root.run("ACL SETUSER ann +info +dbsize +dot.entropy"), "OK");
    assert_eq!(status(ann, "GET /metrics"), "200");
    assert_eq!(root.run("ACL DELUSER ann"), "1");
    assert_eq!(status(ann, "GET /kv/mine"), "401");
    let log = root.run("ACL LOG");
    assert!(log.contains("object\nHTTP\nusername\nann"), "{log}");
}

/// The story: what DOT.WITH carries was looked at as DOT.WITH is, which has no key and belongs to nobody, and a map script has no
/// user: whoever might read everything could make himself whatever he liked.
#[test]
fn nothing_of_the_node_is_done_by_way_of_keys() {
    let folder = tempfile::tempdir().expect("a directory");
    let node = Process::serve(folder.path(), &[]);
    let mut root = node.client();
    assert_eq!(root.run("SET k v"), "OK");
    assert_eq!(root.run("ACL SETUSER reader on >secret ~* &* +@all -@admin -config"), "OK");
    let mut reader = as_user(&node, "reader");
    for call in
        ["'DOT.WITH','R','1','ACL','SETUSER','reader','+@all'", "'ACL','SETUSER','reader','+@all'", "'PUBLISH','c','x'"]
    {
        let map = format!("return {{'said', redis.pcall({call}).err}}");
        let said = reader.call(&["DOT.MAPREDUCE", &map, "return ARGV[1]"]);
        assert!(said.contains("not allowed from script") || said.contains("calls nothing that has none"), "{said}");
        let run = format!("return redis.pcall({call}).err or 'done'");
        let said = reader.call(&["EVAL", &run, "1", "k"]);
        assert!(call.contains("PUBLISH") || !said.contains("done"), "{said}");
    }
    assert!(reader.run("CONFIG GET timeout-ms").starts_with("NOPERM"));
    assert_eq!(root.run("MULTI"), "OK");
    let refused = root.run("DOT.WITH R 1 CONFIG SET timeout-ms 5000");
    assert!(refused.contains("CONFIG has no key"), "{refused}");
    assert!(root.run("EXEC").starts_with("EXECABORT"));
}

/// GEORADIUS writes where it stores, and only there.
#[test]
fn what_is_stored_is_written() {
    let folder = tempfile::tempdir().expect("a directory");
    let node = Process::serve(folder.path(), &[]);
    let mut root = node.client();
    assert_eq!(root.run("GEOADD mine 1 1 here"), "1");
    assert_eq!(root.run("SET yours v"), "OK");
    assert_eq!(root.run("ACL SETUSER ann on >secret ~mine +@geo"), "OK");
    let mut ann = as_user(&node, "ann");
    assert_eq!(ann.run("GEORADIUS mine 1 1 1 km"), "here");
    for command in [
        "GEORADIUS mine 1 1 1 km STORE yours",
        "GEORADIUS mine 1 1 1 km COUNT 1 STOREDIST yours",
        "GEORADIUSBYMEMBER mine here 1 km STORE yours",
        "GEOSEARCHSTORE yours mine FROMLONLAT 1 1 BYRADIUS 1 km",
        "GEOSEARCHSTORE mine yours FROMLONLAT 1 1 BYRADIUS 1 km",
    ] {
        assert!(ann.run(command).starts_with("NOPERM"), "{command}");
    }
    assert_eq!(root.run("GET yours"), "v");
}
