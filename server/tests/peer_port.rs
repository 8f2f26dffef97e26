//! The peer port: strangers, other clusters, other versions, damaged frames and floods are refused with a reason and counted, and
//! change nothing; with certificates, only nodes that have one come in, and nothing is readable on the wire.

#[path = "support/authority.rs"]
mod authority;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use authority::Authority;
use replica::{ClusterId, Gossip, Incarnation, Message, NodeId, PartitionId};
use serde::Serialize;
use server::peer::{Capabilities, Hello, Lane, PeerFrame, Reply, Versions};
use support::Process;
use uuid::Uuid;

fn framed<T: Serialize>(value: &T) -> Vec<u8> {
    let payload = postcard::to_allocvec(value).expect("it works");
    let head = [(payload.len() as u32).to_le_bytes(), crc32fast::hash(&payload).to_le_bytes()].concat();
    [head, payload].concat()
}

fn hello(cluster: ClusterId) -> Hello {
    Hello {
        versions: Versions::OURS,
        capabilities: Capabilities(u64::MAX),
        cluster,
        node: NodeId(Uuid::from_u128(77)),
        incarnation: Incarnation(1),
        peer_address: ([127, 0, 0, 1], 9).into(),
        lane: Lane::Requests,
    }
}

/// Greets a node, and says what it answered.
fn greet(node: &Process, hello: &Hello) -> (TcpStream, Reply) {
    let mut stream = TcpStream::connect(node.peer_address()).expect("it works");
    stream.set_read_timeout(Some(support::PATIENCE)).expect("it works");
    stream.write_all(&[b"DOTTED\x09".to_vec(), framed(hello)].concat()).expect("it works");
    let mut head = [0; 8];
    stream.read_exact(&mut head).expect("it works");
    let mut payload = vec![0; u32::from_le_bytes(head[..4].try_into().expect("it works")) as usize];
    stream.read_exact(&mut payload).expect("it works");
    (stream, postcard::from_bytes(&payload).expect("it works"))
}

fn reason(node: &Process, hello: &Hello) -> String {
    match greet(node, hello).1 {
        Reply::Refused(why) | Reply::InUse(why) => why,
        Reply::Welcome(_) => panic!("it was let in"),
    }
}

fn cluster_of(node: &Process) -> ClusterId {
    match greet(node, &hello(ClusterId(None))).1 {
        Reply::Welcome(welcome) => welcome.cluster,
        Reply::Refused(why) | Reply::InUse(why) => panic!("{why}"),
    }
}

fn is_closed(mut stream: TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
}

#[test]
fn who_does_not_belong_here_is_told_why_and_counted() {
    let data = tempfile::tempdir().expect("it works");
    let node = Process::serve(data.path(), &[]);
    node.client().run("SET k v");
    let own = cluster_of(&node);
    assert!(own.0.is_some());
    assert!(reason(&node, &hello(ClusterId(Some(Uuid::from_u128(5))))).contains("belongs to cluster"));
    let later = Hello { versions: Versions { oldest: 1_000, newest: 1_001 }, ..hello(own) };
    assert!(reason(&node, &later).contains("versions 1000 to 1001"));
    let info = node.client().info("node_id");
    let itself = Hello { node: NodeId(info.parse().expect("it works")), ..hello(own) };
    assert!(reason(&node, &itself).contains("this node's own"));
    let mut old = TcpStream::connect(node.peer_address()).expect("it works");
    old.write_all(b"DOTTED\x07\x00\x00\x00\x00").expect("it works");
    assert!(is_closed(old));
    let mut client = node.client();
    client.until("INFO", |info| info.contains("\r\npeers_refused:4\r\n"));
    // One that speaks a version more than this node, and has capabilities that nobody knows of, is welcome.
    let newer = Hello { versions: Versions { newest: Versions::OURS.newest + 1, ..Versions::OURS }, ..hello(own) };
    assert!(matches!(greet(&node, &newer).1, Reply::Welcome(_)));
    assert_eq!((client.run("GET k"), client.info("members")), ("v".to_owned(), "1".to_owned()));
}

#[test]
fn damaged_forged_and_oversized_frames_end_their_connection_only() {
    let data = tempfile::tempdir().expect("it works");
    let node = Process::serve(data.path(), &[]);
    node.client().run("SET k v");
    let own = cluster_of(&node);
    let mut damaged = framed(&PeerFrame::Gossip(Gossip::Beat { digest: 1, hears_you: true }));
    *damaged.last_mut().expect("it works") ^= 1;
    let mut huge = vec![0xff; 8];
    huge.extend([0; 64]);
    for bytes in [damaged, huge, framed(&255_u8), framed(&vec![200_u8; 40])] {
        let (mut stream, reply) = greet(&node, &hello(own));
        assert!(matches!(reply, Reply::Welcome(_)));
        stream.write_all(&bytes).expect("it works");
        assert!(is_closed(stream), "{bytes:?}");
    }
    // Sound frames of a node that is no member: a clock that claims everything, and words that no detector said.
    let (mut stream, _) = greet(&node, &hello(own));
    let note = replica::ClockNote { ask: true, counts_you: true, retired: None, placement: 0, serves: true };
    for number in 0..50 {
        let clock = Message::Clock(PartitionId::new(number).expect("it works"), note, replica::Context::new());
        stream.write_all(&framed(&PeerFrame::Core(Box::new(clock)))).expect("it works");
        stream.write_all(&framed(&PeerFrame::Gossip(Gossip::Detector(vec![number as u8; 40])))).expect("it works");
    }
    let mut client = node.client();
    client.until("INFO", |info| info.contains("\r\npeer_frames_broken:4\r\n"));
    assert_eq!((client.run("GET k"), client.info("members")), ("v".to_owned(), "1".to_owned()));
    assert_eq!(client.run("SET k w"), "OK");
}

fn serve(data: &Path, flags: &[&str], more: &[String]) -> Result<Process, String> {
    let flags: Vec<&str> = flags.iter().copied().chain(more.iter().map(String::as_str)).collect();
    Process::try_serve(data, &flags)
}

#[test]
fn with_certificates_only_nodes_of_the_authority_come_in() {
    let data = tempfile::tempdir().expect("it works");
    let [ours, others] = ["ours", "others"].map(|name| {
        let authority = Authority::new(&data.path().join(name));
        authority.certify("node", "dotted");
        authority
    });
    let first = serve(&data.path().join("a"), &["--name", "a"], &ours.peer_flags()).expect("it works");
    first.client().run("SET k v");
    let join = first.peer_address();
    let second =
        serve(&data.path().join("b"), &["--join", &join, "--name", "b"], &ours.peer_flags()).expect("it works");
    second.client().until("INFO", |info| info.contains("\r\npartitions_filling:0\r\n") && info.contains("members:2"));
    assert_eq!(second.client().run("DOT.WITH R 2 GET k"), "v");
    for flags in [others.peer_flags().as_slice(), &[]] {
        let refused = serve(&data.path().join("c"), &["--join", &join, "--name", "c"], flags).err();
        assert!(refused.expect("it is no node of ours").contains("no node answers at the peer address"));
    }
    let mut wrong = ours.peer_flags();
    wrong[3] = ours.path("ca.pem");
    let unusable = serve(&data.path().join("d"), &[], &wrong);
    assert!(unusable.err().expect("the key is none").contains("cannot be used for TLS"));
    assert_eq!(first.client().info("members"), "2");
}

#[test]
fn clients_come_by_tls_and_need_a_certificate_if_that_is_asked_for() {
    let data = tempfile::tempdir().expect("it works");
    let authority = Authority::new(&data.path().join("certificates"));
    authority.certify("server", "localhost");
    authority.certify("client", "somebody");
    let port = support::three_free_ports().to_string();
    let listen = format!("127.0.0.1:{port}");
    let [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map(|file| authority.path(file));
    let mut flags = vec!["--tls-listen", &listen, "--tls-cert", &cert, "--tls-key", &key];
    let ping = |with_certificate: bool| -> std::io::Result<String> {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ca).expect("it works")).expect("it works");
        let config = rustls::ClientConfig::builder().with_root_certificates(roots);
        let config = if with_certificate {
            let own = CertificateDer::from_pem_file(authority.path("client.pem")).expect("it works");
            let key = PrivateKeyDer::from_pem_file(authority.path("client.key")).expect("it works");
            config.with_client_auth_cert(vec![own], key).expect("it works")
        } else {
            config.with_no_client_auth()
        };
        let name = "localhost".try_into().expect("it works");
        let connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
        let stream = TcpStream::connect(&listen)?;
        stream.set_read_timeout(Some(support::PATIENCE))?;
        let mut stream = rustls::StreamOwned::new(connection, stream);
        stream.write_all(b"PING\r\n")?;
        let mut pong = [0; 7];
        stream.read_exact(&mut pong)?;
        Ok(String::from_utf8_lossy(&pong).into_owned())
    };
    {
        let node = Process::serve(&data.path().join("open"), &flags);
        assert_eq!(ping(false).expect("it works"), "+PONG\r\n");
        // Who speaks no TLS there is let go, and nobody else is disturbed.
        let mut plain = support::Client::connect(&listen);
        plain.send(b"PING\r\n");
        while !plain.is_closed() {}
        assert_eq!(node.client().run("PING"), "PONG");
    }
    flags.extend(["--tls-ca", &ca]);
    let _node = Process::serve(&data.path().join("closed"), &flags);
    assert!(ping(false).is_err());
    assert_eq!(ping(true).expect("it works"), "+PONG\r\n");
}

/// The story: a stray node of another cluster at the address of a member that was down: every other member was refused there, and ended.
#[test]
fn members_outlive_a_stranger_at_the_address_of_one_of_them() {
    let data = tempfile::tempdir().expect("it works");
    let port = support::three_free_ports();
    let at = |n: u16| format!("127.0.0.1:{}", port + n);
    let serve = |name: &str, n: u16, more: &[&str]| {
        let listen = at(n);
        Process::serve(&data.path().join(name), &[&["--name", name, "--listen", &listen], more].concat())
    };
    let a = serve("a", 0, &[]);
    let mut b = serve("b", 1, &["--join", &a.peer_address()]);
    a.client().until("INFO", |info| info.contains("\r\npartitions_serving:1024\r\n") && info.contains("members:2"));
    b.client().until("INFO", |info| info.contains("\r\npartitions_filling:0\r\n"));
    b.kill();
    let mut stray = serve("stray", 1, &[]);
    a.until_logged("refuses to talk to this one");
    // Longer than a node whose own id is in use goes on.
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(a.client().run("PING"), "PONG");
    stray.kill();
    let b = serve("b", 1, &[]);
    b.client().until("INFO", |info| info.lines().any(|line| line.starts_with("alive:") && line.contains(',')));
}
