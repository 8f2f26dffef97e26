//! `cargo bench -p causal --bench kernel`: every operation of the kernel at 3, 16, 64 and 1,024 actors, and the hole
//! workload, by criterion.

use std::hint::black_box;

use causal::{CausalContext, Dot, DvvSet, Minter, Siblings, Token, VersionVector};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const ACTORS: [u64; 4] = [3, 16, 64, 1_024];

/// A set `actors` have written in turn, and two that have gone on from it apart.
fn dense(actors: u64) -> [DvvSet<u64, u64>; 3] {
    let mut base = DvvSet::new();
    for actor in 0..actors {
        let seen = base.context();
        base.update(&seen, actor, actor).expect("its own context");
    }
    let seen = base.context();
    let [mut left, mut right] = [base.clone(), base.clone()];
    left.update(&seen, 0, 1).expect("its own context");
    right.update(&seen, actors - 1, 2).expect("its own context");
    [base, left, right]
}

fn with_gaps(actors: u64) -> [Siblings<u64, u64>; 2] {
    let [_, left, right] = dense(actors);
    let hole = |set: DvvSet<u64, u64>, actor| {
        let mut siblings = set.to_siblings();
        siblings.discard(&[Dot::new(actor, 9)].into_iter().collect());
        siblings
    };
    [hole(left, 1), hole(right, 2)]
}

fn sets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dense");
    for actors in ACTORS {
        let [base, left, right] = dense(actors);
        let seen = base.context();
        group.bench_function(BenchmarkId::new("put", actors), |b| {
            b.iter_batched_ref(|| base.clone(), |set| set.update(&seen, 0, 7), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("sync", actors), |b| {
            b.iter_batched_ref(|| left.clone(), |set| set.sync(&right), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("context", actors), |b| b.iter(|| left.context()));
        group.bench_function(BenchmarkId::new("compare", actors), |b| b.iter(|| left.compare(black_box(&right))));
    }
    group.finish();
    let mut group = criterion.benchmark_group("with-gaps");
    for actors in ACTORS {
        let [left, right] = with_gaps(actors);
        let seen = left.context().clone();
        group.bench_function(BenchmarkId::new("put", actors), |b| {
            let fresh = || (left.clone(), Minter::once(u64::MAX));
            b.iter_batched_ref(fresh, |(set, minter)| set.update(&seen, minter, 7), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("sync", actors), |b| {
            b.iter_batched_ref(|| left.clone(), |set| set.sync(&right), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("compare", actors), |b| b.iter(|| left.compare(black_box(&right))));
        group.bench_function(BenchmarkId::new("delta", actors), |b| b.iter(|| left.delta_since(right.context())));
        group.bench_function(BenchmarkId::new("encode", actors), |b| b.iter(|| left.context().to_bytes()));
    }
    group.finish();
}

fn clocks_and_tokens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("clock");
    for actors in ACTORS {
        let clock = |offset| (0..actors).map(|a| (a, 100 + (a + offset) % 3)).collect::<VersionVector<u64>>();
        let (x, y) = (clock(0), clock(1));
        group.bench_function(BenchmarkId::new("merge", actors), |b| {
            b.iter_batched_ref(|| x.clone(), |x| x.union(&y), BatchSize::SmallInput);
        });
        group.bench_function(BenchmarkId::new("compare", actors), |b| b.iter(|| x.compare(black_box(&y))));
    }
    group.finish();
    let mut group = criterion.benchmark_group("token");
    for actors in ACTORS {
        let token = Token::new((0..actors).map(|a| Dot::new(a << 50, 1_000 + a)).collect::<CausalContext<u64>>());
        let text = token.to_text(b"cart").expect("short");
        group.bench_function(BenchmarkId::new("encode", actors), |b| b.iter(|| token.to_text(b"cart")));
        group
            .bench_function(BenchmarkId::new("decode", actors), |b| b.iter(|| Token::<u64>::from_text(b"cart", &text)));
    }
    group.finish();
}

/// One dot lost, then so many in order: constant time for each.
fn hole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hole");
    for dots in [1_000, 10_000, 100_000] {
        group.throughput(Throughput::Elements(dots));
        group.bench_function(BenchmarkId::new("insert", dots), |b| {
            b.iter(|| {
                let mut context: CausalContext<u64> = [Dot::new(1, 1)].into_iter().collect();
                context.extend((3..3 + dots).map(|counter| Dot::new(1, counter)));
                context
            });
        });
    }
    group.finish();
}

criterion_group!(kernel, sets, clocks_and_tokens, hole);
criterion_main!(kernel);
