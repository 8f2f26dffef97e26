//! Some hundred seeds of the simulator, and the proof that its oracle sees what it should: with a guard taken out
//! some seed must fail. More seeds: `cargo run --release -p dotted-tests --bin simulate -- --seeds 10000`.

use simulator::{Fault, Plan, Sabotage, Scene, run, run_counting, run_last_writer_wins};

fn assert_safe(plan: &Plan, seeds: std::ops::Range<u64>) {
    let mut acknowledged = 0;
    for seed in seeds {
        let outcome = run(seed, plan);
        let join = if plan.join { " --join" } else { "" };
        let layouts = if plan.layouts { " --layouts" } else { "" };
        let copies = if plan.copies { " --copies" } else { "" };
        let upgrades = if plan.upgrades { " --upgrades" } else { "" };
        let limits = if plan.limits { " --limits --calm 30" } else { "" };
        let rot = if plan.rot { " --rot" } else { "" };
        let scene = plan.scene.map(|scene| format!(" --scene {scene:?}").to_lowercase()).unwrap_or_default();
        let nodes = plan.nodes;
        assert_eq!(
            outcome.violation, None,
            "seed {seed}; replay: simulate --seeds 1 --from {seed} --nodes {nodes}{join}{layouts}{copies}{upgrades}{limits}{rot}{scene}"
        );
        acknowledged += outcome.acknowledged;
    }
    assert!(acknowledged > 1_000, "a run in which nothing was acknowledged proves nothing");
}

fn assert_caught(sabotage: Sabotage, plan: Plan) {
    let plan = Plan { sabotage: Some(sabotage), ..plan };
    assert!((0..300).any(|seed| run(seed, &plan).violation.is_some()), "{sabotage:?} went unnoticed");
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_removed_comes_back_with_three_nodes() {
    assert_safe(&Plan::default(), 0..60);
}

#[test]
fn nothing_is_lost_while_a_fourth_node_joins_and_an_old_owner_drops_out() {
    assert_safe(&Plan { join: true, ..Plan::default() }, 0..40);
}

#[test]
fn nothing_is_lost_that_only_stand_ins_hold_and_nothing_is_left_with_them() {
    let plan = Plan { nodes: 5, ..Plan::default() };
    assert_safe(&plan, 0..40);
    assert!((0..20).map(|seed| run(seed, &plan).stood_in).sum::<u64>() > 20, "nobody stood in for anybody");
}

#[test]
fn nothing_is_lost_while_a_copied_disk_runs_beside_its_original() {
    assert_safe(&Plan { copies: true, ..Plan::default() }, 0..60);
}

#[test]
fn nothing_is_lost_while_nodes_of_two_releases_run_side_by_side() {
    assert_safe(&Plan { upgrades: true, nodes: 5, ..Plan::default() }, 0..30);
}

/// The limits are a thousandth of what they are: values, cells, keys' states and messages come near them.
#[test]
fn nothing_is_lost_near_the_limits_of_lengths() {
    assert_safe(&Plan { limits: true, calm_ms: 30_000, ..Plan::default() }, 0..15);
}

#[test]
fn no_count_is_lost_when_one_that_stands_in_is_cut_off_while_it_hands_over() {
    let plan = Plan { scene: Some(Scene::Relapse), nodes: 5, troubled_ms: 20_000, ..Plan::default() };
    let counted = (0..20).map(|seed| run_counting(seed, &plan)).inspect(|outcome| assert_eq!(outcome.violation, None));
    assert!(counted.map(|outcome| outcome.stood_in).sum::<u64>() > 20, "nobody stood in for anybody");
}

#[test]
fn a_record_that_vanishes_from_one_disk_is_written_anew_everywhere() {
    assert_safe(&Plan { rot: true, ..Plan::default() }, 0..30);
}

#[test]
fn nothing_is_lost_while_operators_commit_layouts_on_both_sides_of_cuts() {
    assert_safe(&Plan { layouts: true, nodes: 5, ..Plan::default() }, 0..30);
}

#[test]
fn nothing_is_lost_when_the_power_fails_right_after_owners_were_handed_what_they_missed() {
    assert_safe(&Plan { scene: Some(Scene::Handover), nodes: 5, ..Plan::default() }, 0..20);
}

#[test]
fn nothing_comes_back_when_an_owner_that_left_and_returned_is_answered_late() {
    assert_safe(&Plan { scene: Some(Scene::Bridge), ..Plan::default() }, 0..30);
}

/// A fault that never strikes tests nothing.
#[test]
fn every_fault_strikes_and_majorities_are_compared() {
    let (mut struck, mut compared) = (std::collections::BTreeMap::<Fault, u64>::new(), 0);
    let plans = [
        Plan { rot: true, ..Plan::default() },
        Plan { layouts: true, ..Plan::default() },
        Plan { copies: true, ..Plan::default() },
        Plan { upgrades: true, nodes: 5, ..Plan::default() },
    ];
    for (seed, plan) in plans.iter().flat_map(|plan| (0..20).map(move |seed| (seed, plan))) {
        let outcome = run(seed, plan);
        outcome.faults.into_iter().for_each(|(fault, times)| *struck.entry(fault).or_default() += times);
        compared += outcome.compared;
    }
    for fault in Fault::ALL {
        assert!(struck.contains_key(&fault), "{fault:?} never struck: {struck:?}");
    }
    assert!(compared > 50, "{compared} reads were held against what majorities had taken");
}

#[test]
fn a_seed_replays_exactly() {
    let plan = Plan { join: true, ..Plan::default() };
    assert_eq!(run(4711, &plan), run(4711, &plan));
    assert_ne!(run(4711, &plan).trace, run(4712, &plan).trace);
}

#[test]
fn a_restart_under_the_old_incarnation_is_caught() {
    assert_caught(Sabotage::SameIncarnation, Plan::default());
}

#[test]
fn a_clock_newer_than_the_cells_is_caught() {
    assert_caught(Sabotage::ClockWithoutCells, Plan::default());
}

#[test]
fn a_delta_that_does_not_carry_its_past_is_caught() {
    assert_caught(Sabotage::DeltaWithoutPast, Plan::default());
}

#[test]
fn an_answer_before_the_flush_is_caught() {
    assert_caught(Sabotage::AnswerUnflushed, Plan::default());
}

#[test]
fn a_replica_that_lets_go_before_others_have_everything_is_caught() {
    assert_caught(Sabotage::LyingClocks, Plan { join: true, ..Plan::default() });
}

#[test]
fn last_writer_wins_is_caught_losing_acknowledged_writes() {
    let verdict = (0..20).find_map(run_last_writer_wins).expect("it loses writes");
    assert!(verdict.contains("lost"), "{verdict}");
}
