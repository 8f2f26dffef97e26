//! How a node comes by its records when it starts: those on disk if they are whole; else new ones, filled by the other nodes or with
//! what can be read of the damaged ones.
//!
//! What another member says it holds comes from there: a record that is missing under a clock that knows of it would be taken
//! for removed, there as well. Only partitions that nobody else holds are mended record by record. Either way the
//! node goes on under a new incarnation, and the damaged records stay, under another name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use replica::{Actor, Batch, BatchSeq, Core, Decisions, Members, PartitionId, PartitionSet, Presence, Settings};

use crate::config::ServeOptions;
use crate::disk::Disk;
use crate::engine::{self, EVERYTHING, Engine, EngineError, EngineKind, Loss, Mended, Sync, Wanted};
use crate::error::Error;
use crate::identity::{self, DECISIONS, IDENTITY, Identity, MEMBERS};
use crate::nameplate::{Nameplate, Plate};
use crate::node::Node;

/// How far behind the nameplate may be: what others hold by then is taken from it, if the records are damaged.
const PLATE_TIME: Duration = Duration::from_millis(100);
/// How often a node that is filled again says how far it is.
const PROGRESS_TIME: Duration = Duration::from_secs(2);

/// What to do about damaged records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WhenDamaged {
    /// Set them aside. What other members hold comes from them; of the rest, whatever can be read is kept, and the loss is named.
    #[default]
    Recover,
    /// Set them aside and keep all that can be read of them, whatever others hold: for when the others are gone for good.
    Repair,
    /// Leave them as they are, and do not start.
    Refuse,
}

/// A node's records, ready.
pub(crate) struct Opened {
    pub(crate) identity: Identity,
    pub(crate) members: Option<Members>,
    pub(crate) decisions: Decisions,
    pub(crate) records: Arc<dyn Engine>,
    /// If there is a directory for it.
    pub(crate) nameplate: Option<Nameplate>,
    /// Were they damaged, so that others have to fill some?
    pub(crate) is_refilled: bool,
}

/// Opens the records of a data directory, and puts this run's incarnation on disk before anything else; or records in memory, of
/// a node nobody has met yet.
pub(crate) fn open(options: &ServeOptions) -> Result<Opened, Error> {
    if options.is_in_memory() {
        let records = engine::open(EngineKind::Memory, &options.data)?;
        let (identity, decisions) = (Identity::fresh().next(), Decisions::default());
        return Ok(Opened { identity, members: None, decisions, records, nameplate: None, is_refilled: false });
    }
    let (plate, unreadable) = match Nameplate::read(&options.data) {
        Ok(plate) => (plate, None),
        Err(why @ Error::DamagedData { .. }) => (None, Some(why)),
        Err(why) => return Err(why),
    };
    // A node that has served had records: new ones must not be taken for them.
    let has_served = unreadable.is_some() || plate.as_ref().is_some_and(|plate| plate.members.is_some());
    let gone = || Error::DamagedData { path: options.data.clone(), why: "the records are gone".to_owned() };
    let opened = if has_served && !engine::is_there(options.engine, &options.data) {
        Err(gone())
    } else {
        engine::open(options.engine, &options.data).and_then(|records| {
            let own = own_records(records.as_ref()).map_err(|why| Error::of_records(&options.data, why))?;
            if own.0.is_none() && has_served {
                return Err(gone());
            }
            first_unreadable(&records).map_or(Ok((records, own)), |(_, why)| {
                Err(Error::DamagedData { path: options.data.clone(), why: why.to_string() })
            })
        })
    };
    match (opened, plate, unreadable) {
        (Ok((records, own)), plate, _) => begin(options, records, own, plate.as_ref()),
        (Err(Error::DamagedData { path, why }), Some(plate), _) if options.when_damaged != WhenDamaged::Refuse => {
            recover(options, &path, &why, plate)
        }
        // Nobody knows which names were used.
        (Err(Error::DamagedData { .. }), None, Some(unreadable)) => Err(unreadable),
        (Err(error), ..) => Err(error),
    }
}

type Own = (Option<Identity>, Option<Members>, Decisions);

fn own_records(records: &dyn Engine) -> Result<Own, EngineError> {
    let kept = records.get(IDENTITY)?.map(|bytes| identity::decode(&bytes)).transpose();
    let members = identity::kept_members(records.get(MEMBERS)?.as_deref());
    let decisions = records.get(DECISIONS)?.map(|bytes| identity::decode(&bytes)).transpose();
    let decisions = decisions.map_err(EngineError::Damaged)?.unwrap_or_default();
    Ok((kept.map_err(EngineError::Damaged)?, members.map_err(EngineError::Damaged)?, decisions))
}

/// The first partition that no replica can be made of.
fn first_unreadable(records: &Arc<dyn Engine>) -> Option<(PartitionId, replica::StoreError)> {
    let (view, nobody) = (Disk::reading(Arc::clone(records)), Identity::fresh());
    let nobody = Actor { node: nobody.node, incarnation: nobody.incarnation };
    let load = |partitions: &[PartitionId]| {
        Core::new(nobody, Settings::default(), partitions.iter().copied(), &view).map(drop)
    };
    let all: Vec<PartitionId> = PartitionId::all().collect();
    load(&all).err()?;
    all.into_iter().find_map(|partition| Some((partition, load(&[partition]).err()?)))
}

fn begin(
    options: &ServeOptions,
    records: Arc<dyn Engine>,
    (kept, members, decisions): Own,
    plate: Option<&Plate>,
) -> Result<Opened, Error> {
    let last = match (kept, plate.map(|plate| plate.identity)) {
        (Some(kept), Some(named)) if kept.node != named.node => {
            let why = format!("the records are of node {}, the directory is of {}", kept.node, named.node);
            return Err(Error::DamagedData { path: options.data.clone(), why });
        }
        (Some(kept), Some(named)) if kept.incarnation < named.incarnation => named,
        (kept, named) => kept.or(named).unwrap_or_else(Identity::fresh),
    };
    let identity = last.next();
    let nameplate = Nameplate::write(&options.data, Plate { identity, members: members.clone() })?;
    let encoded = identity::encode(&identity);
    let mut edits = std::iter::once((IDENTITY, Some(encoded.as_slice())));
    records.write(&mut edits, Sync::Disk).map_err(|why| Error::of_records(&options.data, why))?;
    Ok(Opened { identity, members, decisions, records, nameplate: Some(nameplate), is_refilled: false })
}

fn recover(options: &ServeOptions, path: &Path, why: &str, plate: Plate) -> Result<Opened, Error> {
    tracing::warn!("the data in {} is damaged: {why}", path.display());
    let damaged = plate.identity.incarnation;
    let identity = plate.identity.next();
    // Before anything else: whatever comes of this, the next attempt has another name again.
    Nameplate::write(&options.data, Plate { identity, members: plate.members.clone() })?;
    let kept = partitions_to_mend(options.when_damaged, &plate);
    let is_any_kept = PartitionId::all().any(|partition| kept.contains(partition));
    if is_any_kept && !engine::is_there(options.engine, &options.data) {
        return Err(Error::DamagedData {
            path: path.to_owned(),
            why: format!("{why}, and nobody else holds all of them"),
        });
    }
    let members = plate.members.map(|members| without(members, identity, &kept));
    let wanted = |key: &[u8]| partition_of(key).is_some_and(|partition| kept.contains(partition));
    let complete = |records: &Arc<dyn Engine>, loss: &mut Loss| complete(records, identity, members.as_ref(), loss);
    let ending = format!(".damaged-{}", damaged.0);
    let wanted: Option<&Wanted<'_>> = if is_any_kept { Some(&wanted) } else { None };
    let mended =
        engine::mend(options.engine, &options.data, &ending, wanted, &complete).map_err(|error| match error {
            Error::DamagedData { path, why: more } => {
                Error::DamagedData { path, why: format!("{why}; nothing could be repaired: {more}") }
            }
            error => error,
        })?;
    let is_refilled = PartitionId::all().any(|partition| !kept.contains(partition));
    say(&mended, identity, is_any_kept, is_refilled);
    let records = engine::open(options.engine, &options.data)?;
    let nameplate = Nameplate::write(&options.data, Plate { identity, members: members.clone() })?;
    let decisions = Decisions::default();
    Ok(Opened { identity, members, decisions, records, nameplate: Some(nameplate), is_refilled })
}

fn say(mended: &Mended, identity: Identity, is_any_kept: bool, is_refilled: bool) {
    if let Some(aside) = &mended.aside {
        tracing::warn!("the damaged records are set aside as {}", aside.display());
    }
    if is_any_kept {
        tracing::warn!("{} records could be read and are kept; lost: {}", mended.loss.kept, mended.loss);
        let keys: BTreeSet<String> = mended.loss.keys.iter().filter_map(|record| user_key(record)).collect();
        if !keys.is_empty() {
            let keys: Vec<String> = keys.into_iter().collect();
            tracing::warn!("keys that have lost something: {}", keys.join(", "));
        }
    }
    let filled = if is_refilled { ": the other nodes fill it again" } else { "" };
    tracing::warn!("the node goes on as incarnation {}{filled}", identity.incarnation.0);
}

/// The user's key that a record belongs to, if it is one's.
fn user_key(record: &[u8]) -> Option<String> {
    let mut record = record.to_vec();
    // The record of a member or field begins as its key's does.
    if let Some(table @ b'C') = record.first_mut() {
        *table = b'K';
    }
    let batch = Batch { seq: BatchSeq::default(), edits: [(record, None)].into() };
    batch.keys().next().map(|key| key.escape_ascii().to_string())
}

/// The partitions whose records are kept, as far as they can be read.
fn partitions_to_mend(when: WhenDamaged, plate: &Plate) -> PartitionSet {
    let Some(members) = &plate.members else { return PartitionSet::all() };
    let me = plate.identity.node;
    let mut kept = members.nodes.get(&me).map_or_else(PartitionSet::all, |own| own.filled.clone());
    if when == WhenDamaged::Recover {
        for (_, other) in members.current().filter(|(node, _)| **node != me) {
            for partition in PartitionId::all().filter(|partition| other.filled.contains(*partition)) {
                kept.set(partition, Presence::Out);
            }
        }
    }
    kept
}

/// The member list of a node that is left with these partitions.
fn without(mut members: Members, identity: Identity, kept: &PartitionSet) -> Members {
    if let Some(own) = members.nodes.get_mut(&identity.node) {
        for partition in PartitionId::all().filter(|it| own.filled.contains(*it) && !kept.contains(*it)) {
            own.lost.set(partition, Presence::In);
        }
        own.filled = kept.clone();
        own.incarnation = identity.incarnation;
        own.version += 1;
    }
    members
}

/// The partition of a record; none for the node's own.
fn partition_of(key: &[u8]) -> Option<PartitionId> {
    match key {
        [b'N', ..] => None,
        [_, high, low, ..] => PartitionId::new(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// Puts the node's own records to what was mended, and takes out partitions of which too little is left to make a replica of.
fn complete(
    records: &Arc<dyn Engine>,
    identity: Identity,
    members: Option<&Members>,
    loss: &mut Loss,
) -> Result<(), EngineError> {
    while let Some((partition, why)) = first_unreadable(records) {
        let mut keys = Vec::new();
        records.scan(EVERYTHING, &mut |key, _| {
            keys.extend((partition_of(key) == Some(partition)).then(|| key.to_vec()));
            std::ops::ControlFlow::Continue(())
        })?;
        loss.other.push(format!("partition {partition} with all its {} records ({why})", keys.len()));
        loss.kept = loss.kept.saturating_sub(keys.len() as u64);
        records.write(&mut keys.iter().map(|key| (key.as_slice(), None)), Sync::Later)?;
        if keys.is_empty() {
            break;
        }
    }
    let identity = identity::encode(&identity);
    let members = members.map(identity::encode);
    let own = [(IDENTITY, Some(identity.as_slice())), (MEMBERS, members.as_deref())];
    records.write(&mut own.into_iter(), Sync::Disk)
}

/// Keeps the members on the nameplate, and says how far a node is that has to be filled again.
pub(crate) fn keep_nameplate(node: &Arc<Node>, is_refilled: bool) -> Result<(), Error> {
    if node.options.is_in_memory() {
        return Ok(());
    }
    let node = Arc::clone(node);
    let put = |node: &Node| {
        let members = node.view().members.clone();
        node.keep_plate(|plate| plate.members = Some(members));
    };
    put(&node);
    let keep = move || {
        let mut said_at = is_refilled.then(Instant::now);
        loop {
            std::thread::sleep(PLATE_TIME);
            put(&node);
            if said_at.is_some_and(|at| at.elapsed() >= PROGRESS_TIME) {
                said_at = say_progress(&node).then(Instant::now);
            }
        }
    };
    std::thread::Builder::new().name("nameplate".to_owned()).spawn(keep).map(drop).map_err(Error::Thread)
}

/// Is there more to come?
fn say_progress(node: &Node) -> bool {
    let view = node.view();
    let mine = PartitionId::all().map(|partition| view.replicas(partition));
    let (filling, serving) = mine.fold((0, 0), |(filling, serving), replicas| {
        let is_filling = replicas.filling.contains(&node.id);
        (filling + usize::from(is_filling), serving + usize::from(!is_filling && replicas.serving.contains(&node.id)))
    });
    if filling > 0 {
        tracing::info!("filled again: {serving} of {} partitions", serving + filling);
    } else {
        tracing::info!("the node is whole again: all of its {serving} partitions are filled");
    }
    filling > 0
}
