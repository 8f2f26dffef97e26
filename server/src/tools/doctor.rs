//! `dotted doctor`: what is wrong, or will be, with a running cluster and with the machine it runs on, and what to do.

mod machine;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use redis_protocol::resp2::types::OwnedFrame;

use crate::error::Error;
use crate::tools::client::{Address, Client, ServerOptions, items, named, number, text, words};
use crate::tools::cluster::{Member, field, members, nodes};
use crate::tools::table::say;

/// Clocks apart by so much: which of two concurrent values is shown, and when keys end, may surprise.
const CLOCK_WARN_MS: f64 = 500.0;
/// By so much they are wrong.
const CLOCK_FAIL_MS: f64 = 10_000.0;
/// How often each is asked for the time.
const CLOCK_LOOKS: usize = 5;
/// What somebody lacks now and then is on its way: it is looked at twice.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// The flags of `dotted doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorOptions {
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// What was found, in the order of the checks.
#[derive(Default)]
struct Findings(Vec<(Verdict, String)>);

impl Findings {
    fn ok(&mut self, what: impl Into<String>) {
        self.0.push((Verdict::Ok, what.into()));
    }

    fn warn(&mut self, what: impl Into<String>) {
        self.0.push((Verdict::Warn, what.into()));
    }

    fn fail(&mut self, what: impl Into<String>) {
        self.0.push((Verdict::Fail, what.into()));
    }

    fn count(&self, of: Verdict) -> usize {
        self.0.iter().filter(|(verdict, _)| *verdict == of).count()
    }
}

/// A member that answers, and what it has said.
struct Seen {
    name: String,
    address: Address,
    info: String,
    settings: OwnedFrame,
    entropy: OwnedFrame,
    ahead_ms: f64,
    answered_ms: f64,
}

impl Seen {
    /// A line of INFO.
    fn info(&self, name: &str) -> &str {
        let line = self.info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    }

    fn setting(&self, name: &str) -> String {
        field(&self.settings, name)
    }

    /// What the others lack of this one and it of them, in events.
    fn lacks(&self) -> i64 {
        let of = |peer: &OwnedFrame, name: &str| named(peer, name).map_or(0, number);
        items(&self.entropy).iter().map(|peer| of(peer, "missing-there") + of(peer, "missing-here")).sum()
    }
}

/// Looks at everything and says what is wrong; OK, WARN and FAIL, a line each.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Answer`] of the node that is asked; [`Error::NotWell`] if a check has failed.
pub fn doctor(options: &DoctorOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    let all = members(&mut client, &options.server)?;
    let layout = client.call(&words([&b"DOT.LAYOUT"[..], b"SHOW"]))?;
    let mut findings = Findings::default();
    let seen: Vec<Seen> = all.iter().filter_map(|member| visit(member, &mut findings)).collect();
    check_contact(&all, &seen, &mut findings);
    check_versions(&seen, &mut findings);
    check_layout(&layout, &mut findings);
    check_entropy(&seen, &mut findings);
    for seen in &seen {
        check_listeners(seen, &mut findings);
        check_promises(seen, &mut findings);
    }
    let away: Vec<&str> =
        seen.iter().filter(|seen| !machine::check(seen, &mut findings)).map(|seen| seen.name.as_str()).collect();
    for (verdict, what) in &findings.0 {
        let verdict = match verdict {
            Verdict::Ok => "OK  ",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        say(format_args!("{verdict}  {what}\n"));
    }
    if !away.is_empty() {
        say(format_args!(
            "Run it on the machine of {} as well: disks and limits are seen only there.\n",
            away.join(", ")
        ));
    }
    let [warned, failed] = [Verdict::Warn, Verdict::Fail].map(|verdict| findings.count(verdict));
    say(format_args!("{} checks, {warned} warnings, {failed} failures\n", findings.0.len()));
    if failed > 0 { Err(Error::NotWell(format!("{failed} checks have failed: see FAIL above"))) } else { Ok(()) }
}

/// Asks a member all that is to be known of it.
fn visit(member: &Member, findings: &mut Findings) -> Option<Seen> {
    let name = &member.name;
    let Some(address) = &member.address else {
        findings.warn(format!(
            "{name} listens at every address of its machine, so that its own is not known here: ask it with --node as well"
        ));
        return None;
    };
    match ask(name, address) {
        Ok(seen) => {
            let text = format!(
                "{name} answers at {address} within {:.2} ms; its clock is {:+.2} ms from this machine's",
                seen.answered_ms, seen.ahead_ms
            );
            // Half of the time the answer took is not known to be the way there or the way back.
            let apart = seen.ahead_ms.abs() - seen.answered_ms / 2.0;
            match apart {
                _ if apart > CLOCK_FAIL_MS => findings.fail(format!(
                    "{text}: keys end at the wrong time, and the older of two values may be shown; have its clock kept (NTP)"
                )),
                _ if apart > CLOCK_WARN_MS => findings.warn(format!(
                    "{text}: of two concurrent values the older may be shown; have the clocks kept (NTP)"
                )),
                _ => findings.ok(text),
            }
            Some(seen)
        }
        Err(why) => {
            let cause = std::error::Error::source(&why).map(|cause| format!(" ({cause})")).unwrap_or_default();
            findings.fail(format!(
                "{name} does not answer at {address}{cause}: start it, or, if it is gone for good, put another in its place \
                 (dotted replace {name} NEW) or remove it (dotted layout stage {name} --remove)"
            ));
            None
        }
    }
}

fn ask(name: &str, address: &Address) -> Result<Seen, Error> {
    let mut client = Client::connect(address)?;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1_000.0;
    let (mut answered_ms, mut ahead_ms) = (f64::INFINITY, 0.0);
    // The shortest way says most about the clock.
    for _ in 0..CLOCK_LOOKS {
        let before_ms = now();
        let time = client.call(&words([&b"TIME"[..]]))?;
        let took_ms = now() - before_ms;
        let parts: Vec<f64> = items(&time).iter().map(|part| text(part).parse().unwrap_or(0.0)).collect();
        let their_ms = parts.first().copied().unwrap_or(0.0) * 1e3 + parts.get(1).copied().unwrap_or(0.0) / 1e3;
        if took_ms < answered_ms {
            (answered_ms, ahead_ms) = (took_ms, their_ms - (before_ms + took_ms / 2.0));
        }
    }
    let info = text(&client.call(&words([&b"INFO"[..]]))?);
    let settings = client.call(&words([&b"CONFIG"[..], b"GET", b"*"]))?;
    let entropy = client.call(&words([&b"DOT.ENTROPY"[..]]))?;
    Ok(Seen { name: name.to_owned(), address: address.clone(), info, settings, entropy, ahead_ms, answered_ms })
}

/// Does everybody hear everybody?
fn check_contact(all: &[Member], seen: &[Seen], findings: &mut Findings) {
    let mut deaf = Vec::new();
    for seen in seen {
        let heard: Vec<&str> = seen.info("alive").split(',').collect();
        let unheard: Vec<&str> =
            all.iter().map(|member| member.name.as_str()).filter(|name| !heard.contains(name)).collect();
        if !unheard.is_empty() {
            deaf.push(format!("{} does not hear {}", seen.name, unheard.join(", ")));
        }
    }
    if deaf.is_empty() {
        findings.ok(format!("all {} members hear each other", all.len()));
    } else {
        findings.fail(format!(
            "{}: are they running, and does nothing between them close the peer ports (--peer-listen)?",
            deaf.join("; ")
        ));
    }
}

fn check_versions(seen: &[Seen], findings: &mut Findings) {
    let mut versions: Vec<&str> = seen.iter().map(|seen| seen.info("dotted_version")).collect();
    versions.sort_unstable();
    versions.dedup();
    match versions.as_slice() {
        [] => {}
        [version] => findings.ok(format!("every member that answers is dotted {version}")),
        several => findings.warn(format!("versions {} run together: bring all to the latest", several.join(", "))),
    }
}

fn check_layout(layout: &OwnedFrame, findings: &mut Findings) {
    let layouts = named(layout, "layouts").map_or(0, |layouts| items(layouts).len());
    match layouts {
        0 => findings.ok("placement is automatic: every member bears the same"),
        1 => findings.ok("one layout is committed"),
        several => findings.warn(format!(
            "{several} layouts were committed at once, and a quorum of each is asked: commit once more (dotted layout commit --yes)"
        )),
    }
    let sum = |name: &str| nodes(layout).iter().filter_map(|node| named(node, name)).map(number).sum::<i64>();
    let (filling, serving) = (sum("filling"), sum("serving"));
    if filling > 0 {
        findings.warn(format!("{filling} replicas of partitions are being filled: wait before a node is stopped"));
    }
    let (replicas, members) = (named(layout, "replicas").map_or(0, number), nodes(layout).len() as i64);
    if members < replicas {
        findings.warn(format!(
            "{members} members for {replicas} replicas: each partition has {members}, and what they hold goes with them; add nodes"
        ));
    } else if filling == 0 && serving > 0 {
        findings.ok(format!("every partition has its {replicas} replicas"));
    }
}

/// Does anybody lack something and not get it?
fn check_entropy(seen: &[Seen], findings: &mut Findings) {
    let lacking: Vec<&Seen> = seen.iter().filter(|seen| seen.lacks() > 0).collect();
    if lacking.is_empty() {
        return findings.ok("nobody lacks anything");
    }
    std::thread::sleep(SECOND_LOOK);
    let mut stuck = Vec::new();
    for before in lacking {
        let later = ask(&before.name, &before.address).map_or(i64::MAX, |later| later.lacks());
        if later >= before.lacks() {
            stuck.push(format!("between {} and others {} events are missing", before.name, before.lacks()));
        }
    }
    if stuck.is_empty() {
        findings.ok("what members lack of each other gets less");
    } else {
        findings.warn(format!(
            "{}, and no fewer a second later: under load that is so; if not, look for members that do not hear each other",
            stuck.join("; ")
        ));
    }
}

/// Who may ask it?
fn check_listeners(seen: &Seen, findings: &mut Findings) {
    let name = &seen.name;
    let is_open = |address: &str| {
        let parsed = address.parse::<std::net::SocketAddr>();
        parsed.is_ok_and(|address| !address.ip().to_canonical().is_loopback())
    };
    let mut open: Vec<&str> =
        ["listen", "http", "https", "tls-listen"].into_iter().filter(|at| is_open(&seen.setting(at))).collect();
    open.sort_unstable();
    let asks = asks_for_password(&seen.address);
    match (open.as_slice(), asks, seen.setting("unprotected") == "true") {
        ([], ..) => findings.ok(format!("{name} takes clients of its own machine only")),
        (_, false, true) => findings.fail(format!(
            "{name} takes anybody's commands (--unprotected, no password): set --requirepass, or bind --listen and --http to \
             an address that only trusted machines reach"
        )),
        (_, false, false) => findings.warn(format!(
            "{name} is bound to an address of the network but takes clients of its own machine only: set --requirepass"
        )),
        (_, true, _) => findings.ok(format!("{name} asks for a password (which travels in the clear, unless clients come by --tls-listen or --https)")),
    }
    let is_anywhere =
        |address: &str| address.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_unspecified());
    if is_anywhere(seen.info("peer_address")) {
        findings.warn(format!(
            "{name} tells other nodes to reach it at {}, which is no address: say with --advertise where they reach it",
            seen.info("peer_address")
        ));
    } else if is_open(seen.info("peer_address")) {
        let (place, is_sealed) = (seen.info("peer_address"), !seen.setting("peer-tls-cert").is_empty());
        match (is_sealed, seen.setting("unprotected") == "true") {
            (true, _) => findings.ok(format!("links of {name} to other nodes are encrypted")),
            (false, true) => findings.warn(format!(
                "the peer port of {name}, {place}, asks for no certificate: let nobody but the members reach it, or give it \
                 --peer-tls-cert"
            )),
            (false, false) => findings.warn(format!(
                "the peer port of {name}, {place}, takes nodes of its own machine only: others need certificates \
                 (--peer-tls-cert), or --unprotected where the network is trusted"
            )),
        }
    }
    if seen.setting("faults") == "true" {
        findings.warn(format!("{name} lets clients cut its links (--faults): for demonstrations only"));
    }
}

fn asks_for_password(address: &Address) -> bool {
    let stranger = address.without_login();
    let said = Client::connect(&stranger).and_then(|mut client| client.call(&words([&b"PING"[..]])));
    matches!(said, Err(Error::Answer { why, .. }) if why.starts_with("NOAUTH"))
}

/// What does an answered write mean there?
fn check_promises(seen: &Seen, findings: &mut Findings) {
    let name = &seen.name;
    match seen.info("durability") {
        "always" => findings.ok(format!("{name} answers writes when they are on disk")),
        "in-memory" => findings.warn(format!("{name} keeps nothing on disk: what it holds is gone when it stops (--in-memory)")),
        other => findings.warn(format!(
            "{name} answers writes before they are on disk (--durability {other}): the last ones are lost if the power goes"
        )),
    }
}
