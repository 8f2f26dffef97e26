//! `dotted scrub`: members read everything they have, in the background, and set right what is damaged.

use std::time::{Duration, Instant};

use clap::Args;

use crate::error::Error;
use crate::tools::client::{Client, ServerOptions, named, number, words};
use crate::tools::cluster::{Member, members};
use crate::tools::progress::bar;
use crate::tools::table::{Table, say};

/// The flags of `dotted scrub`.
#[derive(Args, Clone, Debug)]
pub struct ScrubOptions {
    /// Only the node that is asked, in place of every member.
    #[arg(long)]
    only_this: bool,
    /// Wait until they have read everything, and show how far they are.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: ServerOptions,
}

/// How often a member is asked how far it is.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// Has the members begin.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Answer`] of the node that is asked; [`Error::NotWell`] if another could not be asked.
pub fn scrub(options: &ScrubOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    let all = members(&mut client, &options.server)?;
    let (mut table, mut failed, mut begun) = (Table::new(["NODE", "SCRUB"]), Vec::new(), Vec::new());
    for member in all.iter().filter(|member| member.is_asked || !options.only_this) {
        let said = match begin(member) {
            Ok(client) => {
                begun.push((member.name.clone(), client));
                "begun".to_owned()
            }
            Err(why) => {
                failed.push(member.name.clone());
                why.to_string()
            }
        };
        table.row([member.name.clone(), said]);
    }
    say(format_args!(
        "{table}In the background, some 4 MiB a second per worker; what is found is in the log of each node.\n"
    ));
    if options.wait {
        wait(&mut begun)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::NotWell(format!("no scrub at {}", failed.join(", ")))) }
}

fn begin(member: &Member) -> Result<Client, Error> {
    let Some(address) = &member.address else {
        return Err(Error::NotWell("its address is not known: ask it with --node .. --only-this".to_owned()));
    };
    let mut client = Client::connect(address)?;
    client.call(&words([&b"DOT.SCRUB"[..]]))?;
    Ok(client)
}

/// Until all of these have read everything.
fn wait(members: &mut [(String, Client)]) -> Result<(), Error> {
    let began = Instant::now();
    let bar = bar(0, "{pos}/{len} partitions, {elapsed}: {msg}");
    loop {
        std::thread::sleep(LOOK_TIME);
        let (mut read, mut all, mut reading) = (0, 0, Vec::new());
        for (name, client) in members.iter_mut() {
            let status = client.call(&words([&b"DOT.STATUS"[..]]))?;
            let said = |what: &str| named(&status, "scrub").and_then(|scrub| named(scrub, what)).map_or(0, number);
            read += said("partitions-read").unsigned_abs();
            all += said("partitions").unsigned_abs();
            if said("under-way") > 0 {
                reading.push(name.as_str());
            }
        }
        bar.set_length(all);
        bar.set_position(read);
        bar.set_message(reading.join(", "));
        if reading.is_empty() {
            bar.finish_and_clear();
            say(format_args!("everything has been read, after {:.1} s\n", began.elapsed().as_secs_f64()));
            return Ok(());
        }
    }
}
