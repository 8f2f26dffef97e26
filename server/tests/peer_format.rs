//! The peer protocol's bytes, kept: `format/peer-9.txt` has a frame of every kind as version 9 writes it. Nodes of the next
//! release must read these and write them to nodes of this one, or speak version 10 and keep these for version 9.
//!
//! `DOTTED_WRITE_FORMAT=1 cargo test -p server --test peer_format` writes the file anew: only before a release.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crdt::Content;
use replica::{
    Actor, Answer, CellId, CellKind, Change, ClockNote, ClusterId, Compared, Comparison, Context, Cursor, Dot, Entry,
    Failure, Found, Gossip, Holder, Incarnation, KeyState, Medium, Member, Members, Message, MissingKeys, NodeId,
    Operation, OwnerReport, Part, PartitionId, PartitionSet, Place, Quorum, Read, Receipt, Request, Residual,
    StreamedRange, Ticket, Write, Written,
};
use server::fault::Faults;
use server::peer::{Capabilities, Hello, Lane, PeerFrame, Reply, Versions, Welcome};
use server::pubsub::Topic;
use uuid::Uuid;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/format/peer-9.txt");

fn node(n: u128) -> NodeId {
    NodeId(Uuid::from_u128(n))
}

fn dot(counter: u64) -> Dot {
    Dot::new(Actor { node: node(1), incarnation: Incarnation(2) }, counter)
}

fn context() -> Context {
    [dot(1), dot(2), dot(5)].into_iter().collect()
}

fn change() -> Change {
    let content = Content::Value { bytes: b"milk".to_vec(), seen: Vec::new() };
    let entry = Some(Entry { at: causal::Hlc(7), content });
    Change { place: Place::Cell(b"cart".to_vec(), CellId::value()), dot: dot(5), entry, seen: context() }
}

fn key() -> KeyState {
    let cell = replica::CellState {
        live: [(dot(5), change().entry.expect("it has one"))].into_iter().collect(),
        residual: context().into(),
    };
    KeyState {
        key: b"cart".to_vec().into(),
        residual: Residual::default(),
        cells: vec![(CellId::value(), cell)],
        whole: true,
        events: vec![(dot(5), change().place)],
    }
}

fn members() -> Members {
    let address = ([127, 0, 0, 1], 17_001).into();
    let member = Member::starting("a".to_owned(), address, address, Incarnation(2), PartitionSet::none());
    let members = Members::new(3, BTreeMap::from([(node(1), member)]));
    Members { cluster: ClusterId(Some(Uuid::from_u128(1))), ..members }
}

/// A frame of each kind.
fn frames() -> Vec<(&'static str, PeerFrame)> {
    let (partition, ticket, bytes) = (PartitionId::of_slot(48), Ticket(3), || b"cart".to_vec());
    let receipt = Receipt { holders: vec![Holder { node: node(1), part: Part::Owner, medium: Medium::Disk }] };
    let write =
        Request { quorum: Quorum::of(2), ..Request::new(partition, bytes(), Operation::Write(Write::Set(bytes()))) };
    let cells = Read::Cells(vec![CellId::value()]);
    let written = Written { receipt, ..Written::default() };
    let failed = Failure::NoQuorum { needed: 2, answered: vec![node(1)], silent: vec![node(2)], may_take_effect: true };
    let note = ClockNote { ask: true, counts_you: false, retired: Some(4), placement: 0, serves: true };
    let compared = |what| Box::new(Comparison { clock: context(), what });
    let missing = MissingKeys {
        keys: vec![key()],
        clock: context(),
        residual: Context::new(),
        more: true,
        asked_with: context(),
    };
    let cursor = Cursor { key: bytes().into(), cell: Some(CellId::value()) };
    let range = StreamedRange {
        after: None,
        upto: Some(cursor.clone()),
        keys: vec![key()],
        clock: context(),
        residual: Context::new(),
        noted: vec![(Place::Key(bytes()), context())],
    };
    let read = Request::new(partition, b"cart", Operation::Read(cells.clone()));
    let core = |message| PeerFrame::Core(Box::new(message));
    vec![
        ("forward", core(Message::Forward(ticket, write))),
        ("forwarded-written", core(Message::Forwarded(ticket, partition, Answer::Written(written)))),
        (
            "forwarded-found",
            core(Message::Forwarded(
                ticket,
                partition,
                Answer::Found(Found { kind: Some(CellKind::Value), ..Found::default() }),
            )),
        ),
        ("forwarded-failed", core(Message::Forwarded(ticket, partition, Answer::Failed(failed)))),
        ("forward-read", core(Message::ForwardRead(ticket, read, 9))),
        ("delta", core(Message::Delta(ticket, partition, Medium::Memory, vec![change()]))),
        ("delta-held", core(Message::DeltaHeld(ticket, partition, Medium::Disk))),
        ("delta-refused", core(Message::DeltaRefused(ticket, partition))),
        ("fetch", core(Message::Fetch(ticket, partition, bytes().into(), cells, 9))),
        (
            "fetch-range",
            core(Message::Fetch(ticket, partition, bytes().into(), Read::prefix(CellKind::Field, b"a", 7), 9)),
        ),
        (
            "forward-look",
            core(Message::Forward(
                ticket,
                Request::new(partition, b"key", Operation::Read(Read::Call(bytes().into()))),
            )),
        ),
        ("forwarded-said", core(Message::Forwarded(ticket, partition, Answer::Said(Box::default(), bytes().into())))),
        ("weigh", core(Message::Forward(ticket, Request::new(partition, b"", Operation::Weigh)))),
        ("weighed", core(Message::Forwarded(ticket, partition, Answer::Weighed(Some(7))))),
        ("held-under", core(Message::HeldUnder(ticket, partition, Medium::Memory, 0x0123_4567_89ab_cdef))),
        ("fetched-aside", core(Message::FetchedAside(ticket, partition, Some(Box::new((key(), context())))))),
        ("fetched-aside-same", core(Message::FetchedAside(ticket, partition, None))),
        ("fetched-same", core(Message::FetchedSame(ticket, partition))),
        ("fetched-state", core(Message::FetchedState(ticket, partition, Box::new(key()), context()))),
        ("fetched-nothing", core(Message::FetchedNothing(ticket, partition))),
        ("inspect", core(Message::Inspect(ticket, partition, bytes().into()))),
        (
            "inspected",
            core(Message::Inspected(
                ticket,
                partition,
                Box::new(OwnerReport { clock: context(), ..OwnerReport::default() }),
            )),
        ),
        ("clock", core(Message::Clock(partition, note, context()))),
        ("close", core(Message::Close(partition, dot(1).actor))),
        ("closed", core(Message::Closed(partition, dot(1).actor, context()))),
        ("verify-root", core(Message::Verify(partition, compared(Compared::Root(5, ticket))))),
        (
            "verify-digests",
            core(Message::Verify(partition, compared(Compared::Digests(vec![(1, vec![(bytes().into(), 6)])])))),
        ),
        ("verify-states", core(Message::Verify(partition, compared(Compared::States(vec![key()]))))),
        ("pull", core(Message::Pull(partition, context()))),
        ("missing", core(Message::Missing(partition, Box::new(missing)))),
        ("must-stream", core(Message::MustStream(partition))),
        ("stream", core(Message::Stream(partition, Some(cursor)))),
        ("streamed", core(Message::Streamed(partition, Box::new(range)))),
        ("inspect-stored", core(Message::InspectStored(ticket, partition, bytes().into()))),
        ("beat", PeerFrame::Gossip(Gossip::Beat { digest: 7, hears_you: true })),
        ("members", PeerFrame::Gossip(Gossip::List(Box::new(members())))),
        ("detector", PeerFrame::Gossip(Gossip::Detector(vec![1, 2, 3]))),
        (
            "decided",
            PeerFrame::Gossip(Gossip::Decided(
                members().cluster,
                Box::new({
                    let mut decisions = replica::Decisions::default();
                    decisions.decide(dot(1).actor, b"colour", Some(b"red")).expect("there is room");
                    decisions
                }),
            )),
        ),
        ("publish", PeerFrame::Publish(Topic::Channel, bytes(), bytes())),
        ("faults", PeerFrame::Faults(1, Faults { cut: [node(2)].into(), delay_ms: 5, drop_percent: 10 })),
        ("faults-set", PeerFrame::FaultsSet(1)),
    ]
}

fn greetings() -> (Hello, [Reply; 2]) {
    let (versions, capabilities, cluster) = (Versions { oldest: 9, newest: 9 }, Capabilities(0), members().cluster);
    let peer_address = ([127, 0, 0, 1], 17_001).into();
    let hello = Hello {
        versions,
        capabilities,
        cluster,
        node: node(1),
        incarnation: Incarnation(2),
        peer_address,
        lane: Lane::Bulk,
    };
    let welcome = Reply::Welcome(Welcome { versions, capabilities, cluster, node: node(2) });
    (hello, [welcome, Reply::Refused("why".to_owned())])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn frames_are_what_they_were() {
    let (hello, replies) = greetings();
    let mut now: Vec<(&str, String)> = vec![("hello", hex(&postcard::to_allocvec(&hello).unwrap()))];
    now.extend(
        ["welcome", "refused"].into_iter().zip(replies.iter().map(|reply| hex(&postcard::to_allocvec(reply).unwrap()))),
    );
    now.extend(frames().into_iter().map(|(name, frame)| (name, hex(&postcard::to_allocvec(&frame).unwrap()))));
    let text: String = now.iter().map(|(name, hex)| format!("{name} {hex}\n")).collect();
    if std::env::var_os("DOTTED_WRITE_FORMAT").is_some() {
        std::fs::create_dir_all(std::path::Path::new(FILE).parent().unwrap()).unwrap();
        std::fs::write(FILE, &text).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap();
    for (kept, now) in kept.lines().zip(text.lines()) {
        assert_eq!(kept, now);
    }
    assert_eq!(kept.lines().count(), now.len());
    for line in kept.lines().skip(3) {
        let (name, hex) = line.split_once(' ').unwrap();
        let frame: PeerFrame = postcard::from_bytes(&bytes(hex)).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert_eq!(postcard::to_allocvec(&frame).unwrap(), bytes(hex), "{name}");
    }
    assert_eq!(
        postcard::from_bytes::<Hello>(&bytes(kept.lines().next().unwrap().split_once(' ').unwrap().1)).unwrap(),
        hello
    );
}
