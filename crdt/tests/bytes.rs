//! The bytes of every type: they arrive as they were sent, equal states have equal bytes, and what is not such bytes is
//! refused.

use crdt::laws::{Mode, Nested, Sent, Site, Specified, check};
use crdt::{
    AwSet, Counter, Document, DwFlag, EwFlag, Expiring, Log, LwwRegister, LwwSet, MaxRegister, MinRegister, MvRegister,
    Num, RwSet, Seq, StoreBytes, ZSet,
};

fn arrive<S: Specified + StoreBytes>() {
    check::<Sent<S>>(Mode::Unordered, 300);
    check::<Sent<Nested<S>>>(Mode::States, 300);
}

macro_rules! each {
    ($($name:ident: $($type:ty),+;)*) => {$(
        #[test]
        fn $name() {
            $(arrive::<$type>();)+
        }
    )*};
}

each! {
    registers_arrive_as_they_were_sent: MvRegister<Site, u8>, LwwRegister<Site, u8>, MaxRegister<Site, u8>, MinRegister<Site, u8>;
    flags_arrive_as_they_were_sent: EwFlag<Site>, DwFlag<Site>, Expiring<EwFlag<Site>>;
    sets_arrive_as_they_were_sent: AwSet<Site, u8>, RwSet<Site, u8>, LwwSet<Site, u8>;
    numbers_arrive_as_they_were_sent: Counter<Site>, Num<Site>, ZSet<Site, u8>;
    sequences_arrive_as_they_were_sent: Log<Site, u8>, Seq<Site, u8>;
    documents_arrive_as_they_were_sent: Document<Site>;
}
