//! `dotted`'s own tools, and HTTP, by TLS.

#[path = "support/authority.rs"]
mod authority;
mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use authority::Authority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use support::{Process, dotted, refused, said};

/// A node that takes clients by TLS, with certificates of an authority.
fn serve(data: &std::path::Path, authority: &Authority, more: &[&str]) -> Process {
    let [cert, key] = ["server.pem", "server.key"].map(|file| authority.path(file));
    let flags = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    Process::serve(data, &[&flags[..], more].concat())
}

#[test]
fn every_tool_speaks_tls() {
    let data = tempfile::tempdir().expect("a directory");
    let [ours, others] = ["ours", "others"].map(|name| {
        let authority = Authority::new(&data.path().join(name));
        authority.certify("server", "localhost");
        authority.certify("operator", "operator");
        authority
    });
    let [ca, cert, key, other_ca] =
        [ours.path("ca.pem"), ours.path("operator.pem"), ours.path("operator.key"), others.path("ca.pem")];
    let node = serve(&data.path().join("a"), &ours, &["--tls-ca", &ca, "--requirepass", "sesame"]);
    let source = serve(&data.path().join("b"), &others, &[]);
    source.client().run("SET k v");
    let mut client = node.client();
    client.run("AUTH sesame");
    assert_eq!(client.run("ACL SETUSER operator on >tools ~* &* +@all"), "OK");

    let tls_port = |client: &mut support::Client| {
        client.info("tls_address").rsplit_once(':').map(|(_, port)| port.to_owned()).expect("a port")
    };
    let (port, source_port) = (tls_port(&mut client), tls_port(&mut source.client()));
    let address = format!("rediss://localhost:{port}");
    let to: Vec<&str> = vec!["--node", &address, "--user", "operator", "--password", "tools", "--tls-ca", &ca];
    let whole = [&to[..], &["--tls-cert", &cert, "--tls-key", &key]].concat();
    let run = |task: &[&str], to: &[&str]| dotted(&[task, to].concat());
    assert!(said(&run(&["status"], &whole)).contains("the cluster has 0 keys"));
    assert!(said(&run(&["layout", "show"], &whole)).contains("placement automatic"));
    assert!(said(&run(&["doctor"], &whole)).contains("takes clients of its own machine only"));
    assert!(said(&run(&["bench", "--requests", "100", "--clients", "3"], &whole)).contains("set"));
    let from = format!("rediss://127.0.0.1:{source_port}");
    let import = ["import", &from, "--from-tls-ca", &other_ca, "--from-tls-name", "localhost"];
    assert_eq!(said(&run(&import, &whole)), "1 keys imported\n");
    assert_eq!(client.run("GET k"), "v");
    let backup = data.path().join("backup");
    let backup = backup.to_str().expect("a path");
    assert_eq!(said(&run(&["backup", backup], &whole)), "1 keys saved\n");
    assert_eq!(said(&run(&["restore", "--replace", backup], &whole)), "1 keys restored\n");

    // Without a certificate of one's own, by another authority, under another name, without any.
    assert!(refused(&run(&["status"], &to)).contains(&format!("localhost:{port}")));
    let strange = whole.iter().map(|flag| if *flag == ca { other_ca.as_str() } else { *flag }).collect::<Vec<_>>();
    let why = refused(&run(&["status"], &strange));
    assert!(why.contains("invalid peer certificate"), "{why}");
    let why = refused(&run(&["status", "--tls-name", "elsewhere"], &whole));
    assert!(why.contains("not valid for name"), "{why}");
    let why = refused(&dotted(&["status", "--node", &address]));
    assert!(why.contains("say with --tls-ca FILE who vouches for the server"), "{why}");
    // Flags of TLS are for TLS: without it a password would go over the wire as it is.
    let plain = ["--node", &node.address, "--password", "sesame"];
    let why = refused(&run(&["status", "--tls-ca", &ca], &plain));
    assert!(why.contains("write rediss://HOST:PORT"), "{why}");
    let why = refused(&run(&["import", &source.address, "--from-tls-ca", &other_ca], &plain));
    assert!(why.contains("write rediss://HOST:PORT"), "{why}");
    assert_eq!(said(&run(&["import", "--replace", &source.address], &whole)), "1 keys imported\n");
    let missing = data.path().join("nothing.pem");
    let why = refused(&dotted(&["status", "--node", &address, "--tls-ca", missing.to_str().expect("a path")]));
    assert!(why.contains("cannot be used for TLS"), "{why}");
}

fn get(address: &str, ca: &str, path: &str) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("a certificate")).expect("it is one");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let connection = rustls::ClientConnection::new(Arc::new(config), name).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(support::PATIENCE))?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // What ends without a word of TLS has still been read.
        Err(why) if why.kind() != std::io::ErrorKind::UnexpectedEof => Err(why),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}

#[test]
fn http_is_spoken_by_tls_alone_or_beside_the_plain_one() {
    let data = tempfile::tempdir().expect("a directory");
    let [ours, others] = ["ours", "others"].map(|name| {
        let authority = Authority::new(&data.path().join(name));
        authority.certify("server", "localhost");
        authority
    });
    let https = ["--https", "127.0.0.1:0"];
    let alone = serve(&data.path().join("alone"), &ours, &https);
    let both = serve(&data.path().join("both"), &ours, &[&https[..], &["--http", "127.0.0.1:0"]].concat());
    assert_eq!(alone.client().info("http_address"), "");
    for node in [&alone, &both] {
        node.client().run("SET k value");
        let address = node.client().info("https_address");
        let answer = get(&address, &ours.path("ca.pem"), "/kv/k").expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("value"), "{answer}");
        assert!(get(&address, &others.path("ca.pem"), "/kv/k").is_err(), "nobody vouches for it");
        // Who speaks no TLS there is let go, and others are served.
        let mut plain = support::Client::connect(&address);
        plain.send(b"GET /kv/k HTTP/1.1\r\nhost: localhost\r\n\r\n");
        while !plain.is_closed() {}
        assert!(get(&address, &ours.path("ca.pem"), "/health").expect("it answers").ends_with("ok\n"));
    }
    let mut plain = TcpStream::connect(both.client().info("http_address")).expect("it listens");
    write!(plain, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("it answers");
    assert!(answer.ends_with("ok\n"), "{answer}");
    let Err(why) = Process::try_serve(&data.path().join("none"), &https) else { panic!("it has no certificate") };
    assert!(why.contains("--tls-cert"), "{why}");
}
