//! Two shops sell the same stock without asking each other, and never sell what is not there.

use crdt::{BoundedCounter, Error, Owner};

type Shop = Owner<&'static str, BoundedCounter<&'static str>>;

fn show(shops: &[&Shop]) {
    for shop in shops {
        println!("{:6} sees {} in stock, may sell {}", shop.actor(), shop.value(), shop.rights_of(shop.actor()));
    }
}

fn main() -> Result<(), Error<&'static str>> {
    let [mut berlin, mut lisbon] = ["berlin", "lisbon"].map(Shop::new);

    lisbon.apply(&berlin.add(100)?)?;
    lisbon.apply(&berlin.hand_over(&"lisbon", 40)?)?;
    show(&[&berlin, &lisbon]);

    println!("-- the network is cut, both go on selling --");
    let in_berlin = berlin.take(55)?;
    let in_lisbon = lisbon.take(38)?;
    match lisbon.take(5) {
        Err(why) => println!("lisbon: {why}"),
        Ok(_) => unreachable!("it has two rights left"),
    }
    show(&[&berlin, &lisbon]);

    println!("-- it heals --");
    berlin.apply(&in_lisbon)?;
    lisbon.apply(&in_berlin)?;
    let rights = berlin.hand_over(&"lisbon", 3)?;
    lisbon.apply(&rights)?;
    berlin.apply(&lisbon.take(5)?)?;
    show(&[&berlin, &lisbon]);
    assert_eq!((berlin.value(), lisbon.value()), (2, 2));
    Ok(())
}
