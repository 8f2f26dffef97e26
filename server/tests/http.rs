//! HTTP at real nodes: what the documents show, what is refused, and that it means the same as over the Redis port.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use support::{PATIENCE, Process};

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| line.split_once(": ").is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        self.head.lines().find(|it| line(it)).and_then(|line| line.split_once(": ")).map(|(_, value)| value)
    }
}

struct Http(String);

impl Http {
    fn of(node: &Process) -> Self {
        let mut client = node.client();
        // A node without a password says so, and takes the next command.
        client.run("AUTH sesame");
        Self(client.info("http_address"))
    }

    fn send(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.0).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.write_all(request).expect("the node reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the node answers");
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer has a status");
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.0);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        self.send(&[head.as_bytes(), body].concat())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }
}

fn alone(more: &[&str]) -> (Process, Http, tempfile::TempDir) {
    let data = tempfile::tempdir().expect("a folder can be made");
    let node = Process::serve(data.path(), &[&["--in-memory", "--http", "127.0.0.1:0"], more].concat());
    let http = Http::of(&node);
    (node, http, data)
}

#[test]
fn a_value_is_written_read_and_removed() {
    let (node, http, _data) = alone(&[]);
    assert_eq!(http.ask("POST", "/kv/user1", &[], br#"{"name": "Jack"}"#).status, 204);
    let read = http.get("/kv/user1");
    assert_eq!((read.status, read.text()), (200, r#"{"name": "Jack"}"#));
    assert_eq!(read.header("content-type"), Some("application/json"));
    assert_eq!(read.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(node.client().run("GET user1"), r#"{"name": "Jack"}"#);
    let tag = read.header("etag").unwrap();
    for known in [tag, &format!("W/{tag}"), &format!("\"other\", {tag}"), "*"] {
        assert_eq!(http.ask("GET", "/kv/user1", &[("If-None-Match", known)], b"").status, 304, "{known}");
    }
    assert_eq!(http.ask("HEAD", "/kv/user1", &[], b"").status, 200);
    assert_eq!(http.ask("DELETE", "/kv/user1", &[], b"").status, 204);
    assert_eq!(http.ask("DELETE", "/kv/user1", &[], b"").status, 404);
    assert_eq!(http.get("/kv/user1").status, 404);
    // A name is any bytes, and slashes are part of it.
    http.ask("PUT", "/kv/a/b%2Fc%FF", &[], b"\xff\x00");
    let read = http.get("/kv/a%2Fb/c%ff");
    assert_eq!((read.status, &read.body[..]), (200, &b"\xff\x00"[..]));
    assert_eq!(read.header("content-type"), Some("application/octet-stream"));
    assert_eq!(http.get("/kv").json()["keys"], json!([{ "base64": "YS9iL2P/" }]));
    http.ask("PUT", "/kv/html", &[], b"<script>alert(1)</script>");
    assert_eq!(http.get("/kv/html").header("content-type"), Some("text/plain; charset=utf-8"));
    http.ask("PUT", "/kv/short?ttl_ms=100000", &[], b"x");
    assert!(node.client().run("PTTL short").parse::<u64>().unwrap() > 90_000);
}

#[test]
fn siblings_are_all_shown_and_replaced_by_who_has_seen_them() {
    let (node, http, _data) = alone(&[]);
    for value in ["milk", "bread"] {
        let written = http.ask("PUT", "/kv/cart", &[("X-Dotted-Context", "-")], value.as_bytes());
        assert_eq!(written.status, 204);
    }
    let both = http.get("/kv/cart");
    assert_eq!(both.status, 300);
    let shown = both.json();
    let mut values: Vec<&str> =
        shown["siblings"].as_array().unwrap().iter().map(|it| it["value"].as_str().unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, ["bread", "milk"]);
    assert_eq!(shown["context"].as_str(), both.header("x-dotted-context"));
    assert_eq!(http.get("/kv?conflicts=true").json()["keys"], json!(["cart"]));
    let context = both.header("x-dotted-context").unwrap();
    let written = http.ask("PUT", "/kv/cart", &[("X-Dotted-Context", context)], b"milk, bread");
    assert_eq!((written.status, written.header("x-dotted-siblings")), (204, Some("1")));
    // Whoever knows less than there is does not overwrite, if asked to look.
    let late = http.ask("PUT", "/kv/cart", &[("If-Match", both.header("etag").unwrap())], b"late");
    assert_eq!(late.status, 412);
    let current = http.get("/kv/cart");
    assert_eq!(current.text(), "milk, bread");
    let timely = http.ask("PUT", "/kv/cart", &[("If-Match", current.header("etag").unwrap())], b"eggs");
    assert_eq!(timely.status, 204);
    assert_eq!(node.client().run("GET cart"), "eggs");
    assert_eq!(http.ask("PUT", "/kv/cart", &[("If-None-Match", "*")], b"new").status, 412);
    assert_eq!(http.ask("PUT", "/kv/other", &[("If-None-Match", "*")], b"new").status, 204);
    let removed = http.ask("DELETE", "/kv/cart", &[("X-Dotted-Context", context)], b"");
    assert_eq!((removed.status, removed.header("x-dotted-siblings")), (204, Some("1")), "it had not seen the eggs");
    let foreign = http.ask("PUT", "/kv/elsewhere", &[("X-Dotted-Context", context)], b"x");
    assert_eq!((foreign.status, &foreign.json()["error"]), (400, &json!("BADCONTEXT")));
    assert_eq!(http.ask("PUT", "/kv/profile?field=name", &[("X-Dotted-Context", "-")], b"Jack").status, 204);
    assert_eq!(node.client().run("HGET profile name"), "Jack");
    assert_eq!(http.get("/kv/profile?field=name").text(), "Jack");
}

#[test]
fn types_are_json_and_change_at_once() {
    let (node, http, _data) = alone(&[]);
    let change = |key: &str, body: Value| {
        let answer = http.post(&format!("/types/{key}"), &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["replies"].clone()
    };
    assert_eq!(change("visits", json!({ "increment": 5 })), json!([5]));
    assert_eq!(change("tags", json!({ "add": ["x", "y", 3], "remove": ["y"] })), json!([3, 1]));
    let said =
        change("profile", json!({ "set": { "name": "Jack" }, "increment_fields": { "age": 3 }, "ttl_ms": 99_000 }));
    assert_eq!(said, json!([1, 3, 1]));
    change("board", json!({ "scores": { "a": 1.5, "b": 9 }, "increment_scores": { "a": 1 } }));
    change("jobs", json!({ "push": ["one", "two"], "push_front": ["zero"] }));
    let value = |key: &str| http.get(&format!("/types/{key}")).json()["value"].clone();
    assert_eq!(value("visits"), json!("5"));
    assert_eq!(value("profile"), json!({ "name": "Jack", "age": "3" }));
    assert_eq!(value("board"), json!([["a", 2.5], ["b", 9.0]]));
    assert_eq!(value("jobs"), json!(["zero", "one", "two"]));
    let tags = http.get("/types/tags").json();
    assert_eq!((&tags["type"], &tags["ttl_ms"]), (&json!("set"), &Value::Null));
    assert!(http.get("/types/profile").json()["ttl_ms"].as_i64().unwrap() > 90_000);
    let refused = http.post("/types/jobs", &json!({ "increment": 1 }));
    assert_eq!((refused.status, &refused.json()["replies"][0]["error"]), (409, &json!("WRONGTYPE")));
    // What could be done was, and a client was told of the failure only.
    let partly = http.post("/types/visits", &json!({ "increment": 1, "push": ["x"] })).json();
    assert_eq!((&partly["error"], &partly["replies"][0]), (&json!("PARTLY"), &json!(6)));
    // A quorum that cannot be was noticed, and the transaction carried out all the same.
    assert_eq!(http.post("/types/never?w=10", &json!({ "increment": 1 })).status, 400);
    assert_eq!(node.client().run("EXISTS never"), "0");
    assert_eq!(http.post("/types/never", &json!({ "increments": 1 })).status, 422);
    assert_eq!(http.post("/types/never", &json!({})).status, 400);
    assert_eq!(http.get("/types/never").status, 404);
    assert_eq!(http.post("/command", &json!(["LRANGE", "jobs", 0, -1])).json()["reply"], json!(["zero", "one", "two"]));
    assert_eq!(http.post("/command", &json!(["SUBSCRIBE", "ch"])).status, 400);
    for how in ["ON", "OFF"] {
        let refused = http.post("/command", &json!(["CLIENT", "TRACKING", how]));
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains("needs a connection of its own"), "{}", refused.text());
    }
    assert_eq!(node.client().info("tracking_clients"), "0");
    assert_eq!(node.client().run("PUBSUB NUMSUB ch"), "ch\n0");
    // What has more digits than a number of JSON is not written as another one.
    let long = br#"["SET", "big", 123456789012345678901234567890]"#;
    assert_eq!(http.ask("POST", "/command", &[("Content-Type", "application/json")], long).status, 400);
    assert_eq!(http.post("/types/visits", &json!({ "increment": u64::MAX })).status, 409);
    assert!(node.client().run("PUBLISH __dot__:merges forged").starts_with("ERR merges are said by the nodes"));
}

#[test]
fn what_is_no_request_or_not_allowed_is_refused_with_a_reason() {
    let (_node, http, _data) = alone(&[]);
    assert_eq!(http.get("/nothing").status, 404);
    assert_eq!(http.ask("PATCH", "/kv/k", &[], b"").status, 405);
    assert!(http.get("/kv/k?rr=1").json()["message"].as_str().unwrap().contains("unknown field `rr`"));
    let foreign = http.ask("POST", "/command", &[("Origin", "http://evil.example")], b"[\"FLUSHALL\"]");
    assert_eq!((foreign.status, &foreign.json()["error"]), (403, &json!("DENIED")));
    // A name of theirs may point to this machine: page and node are one site then, as far as a browser knows.
    let rebound =
        b"GET /kv HTTP/1.1\r\nHost: evil.example:8001\r\nOrigin: http://evil.example:8001\r\nConnection: close\r\n\r\n";
    assert_eq!(http.send(rebound).status, 403);
    assert_eq!(http.ask("GET", "/kv", &[("Sec-Fetch-Site", "cross-site")], b"").status, 403);
    let linked = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")];
    assert_eq!(http.ask("GET", "/", &linked, b"").status, 200);
    let mut many = vec!["SADD", "k"];
    many.resize(70_000, "m");
    assert_eq!(http.post("/command", &json!(many)).status, 413);
    let own = format!("http://{}", http.0);
    assert_eq!(http.ask("GET", "/kv", &[("Origin", &own)], b"").status, 200);
    assert_eq!(http.ask("POST", "/command", &[("Content-Type", "text/plain")], b"[\"PING\"]").status, 415);
    assert_eq!(http.post("/command", &json!([])).status, 400);
    let huge = format!(
        "PUT /kv/k HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        1_u64 << 40
    );
    assert_eq!(http.send(huge.as_bytes()).status, 413);
    assert_eq!(http.send(b"nonsense\r\n\r\n").status, 400);
    assert_eq!(http.ask("PUT", "/kv/k", &[("If-Match", "no quotes")], b"").status, 400);
    assert_eq!(http.get("/health").text(), "ok\n");
}

#[test]
fn a_password_is_asked_for_here_too() {
    let (_node, http, _data) = alone(&["--requirepass", "sesame"]);
    let refused = http.get("/kv");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Basic realm=\"dotted\"")));
    assert_eq!(http.get("/").status, 401);
    assert_eq!(http.get("/health").status, 200);
    let with = |secret: &str| http.ask("GET", "/kv", &[("Authorization", secret)], b"").status;
    assert_eq!(with("Basic ZGVmYXVsdDpzZXNhbWU="), 200);
    let empty = Process::try_serve(std::path::Path::new("."), &["--in-memory", "--requirepass", ""]);
    assert!(empty.err().expect("it is none").contains("a value is required for '--requirepass"));
    for wrong in ["Basic ZGVmYXVsdDp3cm9uZw==", "Basic b3RoZXI6c2VzYW1l", "Basic ?", "Bearer sesame", "Basic"] {
        assert_eq!(with(wrong), 401, "{wrong}");
    }
}

#[test]
fn the_node_says_how_it_is() {
    let (_node, http, _data) = alone(&[]);
    http.ask("PUT", "/kv/k", &[], b"v");
    assert_eq!(http.get("/ready").json()["ready"], json!(true));
    let metrics = http.get("/metrics");
    for line in
        ["dotted_keys 1\n", "dotted_members_alive 1\n", "dotted_partitions{state=\"serving\"} 1024\n", "# EOF\n"]
    {
        assert!(metrics.text().contains(line), "{line} is not in {}", metrics.text());
    }
    let status = http.get("/status").json();
    assert_eq!((&status["keys"], status["owners"].as_array().unwrap().len()), (&json!(1), 1024));
    assert_eq!(status["members"].as_array().unwrap().len(), 1);
    for path in ["/", "/page.js", "/page.css", "/openapi.json"] {
        assert_eq!(http.get(path).status, 200, "{path}");
    }
    assert!(http.get("/").header("content-security-policy").unwrap().starts_with("default-src 'none'"));
}

/// Three nodes: one is cut off, both sides are written, and whoever follows the merges sees them.
#[test]
fn merges_are_followed_and_a_node_that_sees_no_majority_is_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let serve = |name: &str, more: &[&str]| {
        let flags = [&["--name", name, "--http", "127.0.0.1:0"], more].concat();
        Process::serve(&data.path().join(name), &flags)
    };
    let a = serve("a", &[]);
    let peer = a.peer_address();
    let (b, c) = (serve("b", &["--join", &peer]), serve("c", &["--join", &peer]));
    for node in [&a, &b, &c] {
        node.client().until("INFO Dotted", |info| {
            info.contains("members:3\r\n") && info.contains("partitions_serving:1024\r\n")
        });
    }
    let (mut at_a, mut at_b) = (a.client(), b.client());
    let mut merges = TcpStream::connect(Http::of(&b).0).unwrap();
    merges.set_read_timeout(Some(PATIENCE)).unwrap();
    merges.write_all(b"GET /merges HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut followed = String::new();
    let mut read_until = |wanted: &str| {
        while !followed.contains(wanted) {
            let mut chunk = [0; 4096];
            let read = merges.read(&mut chunk).unwrap();
            assert!(read > 0, "it ended after {followed}");
            followed.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    };
    read_until("text/event-stream");
    assert_eq!(at_a.run("DOT.FAULT CUT a"), "OK");
    at_a.until("INFO Dotted", |info| info.contains("alive:a\r\n"));
    let ready = Http::of(&a).get("/ready");
    assert_eq!((ready.status, &ready.json()["partitions_without_majority"]), (503, &json!(1024)));
    assert_eq!(at_a.run("SET cart milk"), "OK");
    assert_eq!(at_b.run("SET cart bread"), "OK");
    assert_eq!(at_b.run("DOT.FAULT HEAL"), "OK");
    read_until(r#""key":"cart""#);
    at_b.until("DOT.GET cart", |said| said.contains("milk") && said.contains("bread"));
    assert_eq!(Http::of(&c).get("/kv/cart").status, 300);
}
