//! `dotted scrub`: members read everything they have, in the background, and set right what is damaged.

use clap::Args;

use crate::error::Error;
use crate::tools::client::{Client, ServerOptions, words};
use crate::tools::cluster::members;
use crate::tools::table::{Table, say};

/// The flags of `dotted scrub`.
#[derive(Args, Clone, Debug)]
pub struct ScrubOptions {
    /// Only the node that is asked, in place of every member.
    #[arg(long)]
    only_this: bool,
    #[command(flatten)]
    server: ServerOptions,
}

/// Has the members begin.
///
/// # Errors
/// [`Error::Unreachable`] and [`Error::Answer`] of the node that is asked; [`Error::NotWell`] if another could not be asked.
pub fn scrub(options: &ScrubOptions) -> Result<(), Error> {
    let mut client = options.server.connect()?;
    let all = members(&mut client, &options.server)?;
    let (mut table, mut failed) = (Table::new(["NODE", "SCRUB"]), Vec::new());
    for member in all.iter().filter(|member| member.is_asked || !options.only_this) {
        let begun = match &member.address {
            Some(address) => Client::connect(address).and_then(|mut it| it.call(&words([&b"DOT.SCRUB"[..]]))),
            None => Err(Error::NotWell("its address is not known: ask it with --node .. --only-this".to_owned())),
        };
        let said = match begun {
            Ok(_) => "begun".to_owned(),
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
    if failed.is_empty() { Ok(()) } else { Err(Error::NotWell(format!("no scrub at {}", failed.join(", ")))) }
}
