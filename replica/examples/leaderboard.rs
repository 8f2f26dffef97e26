//! A leaderboard that keeps counting on both sides of a partition: an application of its own on the replicas, and its test
//! in a simulated cluster with crashes, cuts and lost messages.
//!
//!     cargo run -p replica --example leaderboard --features world

use std::collections::BTreeMap;

use crdt::reading;
use replica::world::{Clients, Dice, Plan, run};
use replica::{
    Answer, Application, Ask, CellId, Contents, Failure, Next, Operation, PartitionId, Quorum, Read, Request,
    RequestId, Service, Step, Write,
};

/// A board is a key, a player a field of it, points are increments: what two sides have scored adds up.
struct Leaderboard;

enum Command {
    Score { board: String, player: String, points: i64 },
    Top { board: String, count: usize },
}

type Ranking = Vec<(String, i64)>;

impl Application for Leaderboard {
    type Command = Command;
    type Reply = Result<Ranking, Failure>;

    fn begin(&self, command: &Command) -> Vec<Ask> {
        match command {
            Command::Score { board, player, points } => {
                let cell = CellId::field(player.as_bytes());
                vec![Ask::key(board.as_bytes(), Operation::Write(Write::Increment(cell, *points)))]
            }
            Command::Top { board, .. } => vec![Ask::key(board.as_bytes(), Operation::Read(Read::All))],
        }
    }

    fn proceed(&self, command: &Command, answers: Vec<Answer>) -> Next<Self::Reply> {
        let ranking = match (command, answers.into_iter().next()) {
            (_, Some(Answer::Failed(why))) => Err(why),
            (Command::Top { count, .. }, Some(Answer::Found(found))) => Ok(ranking(&found.cells, *count)),
            _ => Ok(Ranking::new()),
        };
        Next::Reply(ranking)
    }
}

fn ranking(cells: &[(CellId, replica::CellState)], count: usize) -> Ranking {
    let points = |(cell, state): &(CellId, replica::CellState)| {
        (String::from_utf8_lossy(&cell.name).into_owned(), reading::tallies(&state.live).value())
    };
    let mut ranking: Ranking = cells.iter().map(points).collect();
    ranking.sort_by(|x, y| y.1.cmp(&x.1).then_with(|| x.0.cmp(&y.0)));
    ranking.truncate(count);
    ranking
}

/// Players in a simulated cluster.
struct Players {
    service: Service<Leaderboard>,
    commands: u64,
    /// The service's number of each request, by the world's.
    under_way: BTreeMap<RequestId, RequestId>,
    /// Points that were asked for, and those of them that were acknowledged.
    asked: i64,
    acknowledged: i64,
    seen: Ranking,
}

impl Players {
    fn new() -> Self {
        let service = Service::new(Leaderboard, |_| PartitionId::of_slot(0));
        Self { service, commands: 0, under_way: BTreeMap::new(), asked: 0, acknowledged: 0, seen: Ranking::new() }
    }
}

impl Clients for Players {
    fn next(&mut self, asked: RequestId, dice: &mut Dice, partition: PartitionId) -> Request {
        self.commands += 1;
        let command = if dice.percent(80) {
            let player = ["ada", "grace", "edsger"][dice.below(3)].to_owned();
            let points = dice.between(1, 6) as i64;
            self.asked += points;
            Command::Score { board: "world".to_owned(), player, points }
        } else {
            Command::Top { board: "world".to_owned(), count: 3 }
        };
        let Step::Ask(mut requests) = self.service.command(self.commands, command, Quorum::default()) else {
            unreachable!("both commands ask one key")
        };
        let (id, request) = requests.remove(0);
        self.under_way.insert(asked, id);
        Request { partition, ..request }
    }

    fn answered(&mut self, asked: RequestId, _: &mut Dice, request: &Request, answer: &Answer) {
        if let (Operation::Write(Write::Increment(_, points)), Answer::Written(_)) = (&request.operation, answer) {
            self.acknowledged += points;
        }
        let Some(id) = self.under_way.remove(&asked) else { return };
        if let Step::Done(_, Ok(ranking)) = self.service.answered(id, answer.clone())
            && !ranking.is_empty()
        {
            self.seen = ranking;
        }
    }

    fn judge(&mut self, owners: &[Contents]) -> Option<String> {
        let cells: Vec<_> = owners[0].cells.iter().map(|((_, id), state)| (id.clone(), state.clone())).collect();
        let points: i64 = ranking(&cells, usize::MAX).iter().map(|(_, points)| points).sum();
        let wrong = points < self.acknowledged || points > self.asked;
        wrong.then(|| format!("{points} points, of {} acknowledged and {} asked for", self.acknowledged, self.asked))
    }
}

fn main() {
    let mut players = Players::new();
    let outcome = run(7, &Plan { nodes: 5, ..Plan::default() }, &mut players);
    println!("{} faults, {} messages", outcome.faults.values().sum::<u64>(), outcome.delivered);
    println!(
        "asked for {} points, {} acknowledged; last seen: {:?}",
        players.asked, players.acknowledged, players.seen
    );
    println!("violation: {:?}", outcome.violation);
}

#[test]
fn no_point_is_lost_and_none_counts_twice() {
    for seed in 0..30 {
        let mut players = Players::new();
        assert_eq!(run(seed, &Plan { nodes: 5, ..Plan::default() }, &mut players).violation, None, "seed {seed}");
        assert!(players.acknowledged > 0 && !players.seen.is_empty());
    }
}
