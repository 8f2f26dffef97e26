//! Real processes and real connections for the suites.
#![allow(dead_code, unreachable_pub, reason = "each suite uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A `dotted` process; it ends with this value.
pub struct Process {
    child: Child,
    /// Where clients connect.
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// `dotted serve` on free ports.
    pub fn serve(data: &Path, more: &[&str]) -> Self {
        Self::try_serve(data, more).unwrap_or_else(|output| panic!("the node did not start: {output}"))
    }

    /// The same; what it printed, if it did not start.
    pub fn try_serve(data: &Path, more: &[&str]) -> Result<Self, String> {
        Self::try_serve_with(data, more, &[])
    }

    /// The same, with these variables of the environment.
    pub fn try_serve_with(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dotted"));
        command.args(["serve", "--faults", "--data"]).arg(data).args(more).envs(environment.iter().copied());
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        Self::run(command)
    }

    /// A command that ends in `dotted serve`; what it printed, if that did not start.
    pub fn run(mut command: Command) -> Result<Self, String> {
        let mut child = command.env("RUST_LOG", "info").stderr(Stdio::piped()).spawn().expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut output = String::new();
        while let Some(Ok(line)) = lines.next() {
            if let Some((_, address)) = line.split_once("takes clients at ") {
                let address = address.split([' ', '"']).next().unwrap_or_default().to_owned();
                output.push_str(&line);
                output.push('\n');
                let log = Arc::new(Mutex::new(output));
                let later = Arc::clone(&log);
                // Whatever it says later must not fill the pipe.
                std::thread::spawn(move || {
                    for line in lines.map_while(Result::ok) {
                        let mut log = later.lock().expect("nobody panics with it");
                        log.push_str(&line);
                        log.push('\n');
                    }
                });
                return Ok(Self { child, address, log });
            }
            output.push_str(&line);
            output.push('\n');
        }
        let status = child.wait().expect("it has ended");
        Err(format!("{output}{status}"))
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Waits until it has logged this.
    pub fn until_logged(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "it never said {words}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    /// The peer address, as INFO has it.
    pub fn peer_address(&self) -> String {
        self.client().info("peer_address")
    }

    /// Asks it to end, as `kill` does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it the signal of this name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("there is kill");
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A RESP2 connection; the frames are read by the `redis-protocol` crate, not by our own code.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self { stream, unread: Vec::new() }
    }

    /// Sends raw bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node reads");
    }

    /// The same; says whether the node still took them.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next reply as text, if the connection does not end before it.
    pub fn try_receive_text(&mut self) -> Option<String> {
        loop {
            if let Some((frame, used)) = decode(&self.unread).expect("the node speaks RESP") {
                self.unread.drain(..used);
                let mut lines = Vec::new();
                show(&frame, &mut lines);
                return Some(lines.join("\n"));
            }
            let mut chunk = [0; 64 * 1024];
            let read = self.stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    /// The next reply.
    pub fn receive(&mut self) -> OwnedFrame {
        loop {
            if let Some((frame, used)) = decode(&self.unread).expect("the node speaks RESP") {
                self.unread.drain(..used);
                return frame;
            }
            let mut chunk = [0; 64 * 1024];
            let read = self.stream.read(&mut chunk).expect("the node answers");
            assert!(read > 0, "the node closed the connection");
            self.unread.extend_from_slice(&chunk[..read]);
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    }

    /// The next reply, as text.
    pub fn receive_text(&mut self) -> String {
        let mut lines = Vec::new();
        show(&self.receive(), &mut lines);
        lines.join("\n")
    }

    /// Is the connection closed by the node?
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    pub fn call_frame<T: AsRef<[u8]>>(&mut self, arguments: &[T]) -> OwnedFrame {
        self.send(&request(arguments));
        self.receive()
    }

    /// Carries a command out; nested replies are shown as redis-cli does, a line each, nil as `(nil)`.
    pub fn call<T: AsRef<[u8]>>(&mut self, arguments: &[T]) -> String {
        let mut lines = Vec::new();
        show(&self.call_frame(arguments), &mut lines);
        lines.join("\n")
    }

    /// The same, its words separated by blanks.
    pub fn run(&mut self, command: &str) -> String {
        self.call(&command.split(' ').collect::<Vec<_>>())
    }

    /// A line of INFO.
    pub fn info(&mut self, name: &str) -> String {
        let text = self.call(&["INFO"]);
        let line = text.lines().find_map(|line| line.trim_end().strip_prefix(&format!("{name}:")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("INFO has no {name}: {text}"))
    }

    /// Repeats a command until its reply is as wanted.
    pub fn until(&mut self, command: &str, wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.run(command);
            if wanted(&reply) {
                return reply;
            }
            assert!(Instant::now() < deadline, "{command} still says {reply}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn request<T: AsRef<[u8]>>(arguments: &[T]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments.iter().map(AsRef::as_ref) {
        out.extend(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend(b"\r\n");
    }
    out
}

fn show(frame: &OwnedFrame, lines: &mut Vec<String>) {
    match frame {
        OwnedFrame::SimpleString(bytes) | OwnedFrame::BulkString(bytes) => {
            lines.push(String::from_utf8_lossy(bytes).into_owned())
        }
        OwnedFrame::Error(text) => lines.push(text.clone()),
        OwnedFrame::Integer(number) => lines.push(number.to_string()),
        OwnedFrame::Null => lines.push("(nil)".to_owned()),
        OwnedFrame::Array(items) => items.iter().for_each(|item| show(item, lines)),
    }
}

/// Runs the program to its end.
pub fn dotted(arguments: &[&str]) -> Output {
    dotted_with(arguments, &[])
}

/// The same, with these variables of the environment.
pub fn dotted_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dotted"));
    command.args(arguments).envs(environment.iter().copied()).output().expect("the binary runs")
}

/// What it printed; it has done what it was told.
pub fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Why it has not.
pub fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Three nodes `a`, `b`, `c` that hold everything between them.
pub fn three_nodes(data: &Path) -> [Process; 3] {
    let a = Process::serve(&data.join("a"), &["--name", "a"]);
    let join = a.peer_address();
    let [b, c] = ["b", "c"].map(|name| Process::serve(&data.join(name), &["--name", name, "--join", &join]));
    for node in [&a, &b, &c] {
        node.client().until("DOT.LAYOUT SHOW", |shown| shown.matches("serving\n1024").count() == 3);
    }
    [a, b, c]
}

/// Three consecutive free ports, whose peer ports are free as well.
pub fn three_free_ports() -> u16 {
    let free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    (0..100)
        .map(|attempt| 20_011 + (std::process::id() % 97) as u16 * 100 + attempt * 7)
        .find(|port| (*port..port + 3).all(|port| free(port) && free(port + 10_000)))
        .expect("three free ports")
}
