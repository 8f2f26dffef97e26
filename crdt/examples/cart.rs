//! Dynamo's shopping cart: two devices, a partition, and no item that comes back.
//!
//! With versions that are merged by the client (DeCandia et al. 2007, section 4.4) "add to cart" is never lost, but
//! deleted items can resurface. Here a removal takes back what it has seen, and nothing else.

use causal::Minter;
use crdt::{AwMap, Counter, Error, Replica};

type Cart = AwMap<String, Counter<&'static str>>;

fn shown(cart: &Cart) -> String {
    let items: Vec<String> = cart.iter().map(|(item, count)| format!("{} x {item}", count.value())).collect();
    if items.is_empty() { "empty".to_owned() } else { items.join(", ") }
}

fn main() -> Result<(), Error<&'static str>> {
    let [mut phone, mut laptop] = ["phone", "laptop"].map(|device| Replica::<Cart>::new(Minter::once(device)));

    let order = phone.edit(|cart| {
        cart.at("milk").add(2)?;
        cart.at("bread").add(1)
    })?;
    laptop.apply(&order)?;
    println!("both:   {}", shown(&laptop));

    println!("-- the network is cut --");
    let removed = laptop.edit(|cart| cart.remove("milk"))?;
    let more = phone.edit(|cart| cart.at("milk").add(3))?;
    let eggs = laptop.edit(|cart| cart.at("eggs").add(6))?;
    println!("phone:  {}", shown(&phone));
    println!("laptop: {}", shown(&laptop));

    println!("-- it heals: news in any order, some twice --");
    phone.apply(&eggs)?;
    phone.apply(&removed)?;
    laptop.apply(&more)?;
    laptop.apply(&order)?;
    phone.apply(&removed)?;
    println!("phone:  {}", shown(&phone));
    println!("laptop: {}", shown(&laptop));
    assert_eq!(phone.state(), laptop.state());
    assert_eq!(shown(&phone), "1 x bread, 6 x eggs, 3 x milk", "the two bottles that were removed stay removed");
    Ok(())
}
