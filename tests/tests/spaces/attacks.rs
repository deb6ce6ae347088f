//! Members who mean harm: with their own keys, those of the spaces they are in, and changes made by hand.

use cfost::clock::Timestamp;
use cfost::identity::{Current, Role};
use cfost::oplog::{
    Chain, ChangeFlags, Dep, EpochKey, Head, LogId, OpKind, OpValue, RuleTag, Run, Sealer, SegmentWriter, SpaceId,
    ValueRef, sign_change,
};
use cfost::sync::{Refusal, Seqs};
use cfost::{Db, Uuid};
use cfost_tests::fleet::START_MS;

use super::people::{end, meet, person, runs, share, space, take, tell_entries};
use super::{List, Note, Setting, Todo, assert_sound, list, note, setting, todo};

/// A log of a member that is written by hand.
struct Forger<'d> {
    db: &'d Db,
    key: EpochKey,
    chain: Chain,
    deps: Vec<Dep>,
    run: Run,
}

/// What a forged op says of its row's columns.
type Says<'v> = [(&'static str, ValueRef<'v>)];

impl<'d> Forger<'d> {
    fn new(db: &'d Db, list: Uuid, log: u8) -> Self {
        let (author, log) = (db.device_keys().unwrap().public().signing, LogId::from_bytes([log; 16]));
        let chain = Chain::new(space(list), author, log);
        let (key, deps) = (key_of(db, list), Vec::new());
        let epochs = vec![(key.epoch(), *key.commitment())];
        let (changes, signatures) = (Vec::new(), Vec::new());
        let run = Run { space: chain.space, log, origin: None, author, first_seq: 1, epochs, changes, signatures };
        Self { db, key, chain, deps, run }
    }

    /// Adds a change of one op.
    fn op(mut self, table: &str, kind: OpKind, row: Uuid, says: &Says<'_>) -> Self {
        let at = Timestamp::from_ms(START_MS + 1000 + self.run.changes.len() as u64);
        let mut segment = SegmentWriter::new(table, 1, at);
        let columns: Vec<_> = says.iter().map(|(name, _)| (RuleTag::LWW, *name)).collect();
        let shape = segment.shape(kind, &columns).unwrap();
        let values = says.iter().map(|(_, value)| OpValue::Plain(value.clone()));
        segment.push_values(shape, &row, values).unwrap();
        let nonce = [self.run.changes.len() as u8; 24];
        let (flags, payloads) = (ChangeFlags::NONE, [segment.payload()]);
        let (packed, _) = Sealer::new().seal(&mut self.chain, flags, &self.key, &nonce, &self.deps, &payloads).unwrap();
        self.run.changes.push(packed);
        self
    }

    /// The changes as a run with one signature.
    fn run(self) -> Run {
        let Head { seq, id } = self.chain.head;
        let signature = sign_change(self.db.device_keys().unwrap().signing(), &id);
        Run { signatures: vec![(seq, signature)], ..self.run }
    }
}

/// The key that a database writes with in a list's space.
fn key_of(db: &Db, list: Uuid) -> EpochKey {
    let logs = db.replica().unwrap().logs().unwrap();
    let members = logs.spaces[&space(list)].members(&logs.users);
    let Current::Epoch(epoch) = members.current_epoch() else { panic!("the list has no epoch") };
    let keys = db.device_keys().unwrap();
    members.epochs()[&epoch].grants().find_map(|grant| grant.open_key(&keys).unwrap()).unwrap()
}

fn refusals(db: &Db, run: Run) -> Vec<Refusal> {
    let applied = db.replica().unwrap().apply(vec![run]).unwrap();
    applied.refused.into_iter().map(|refused| refused.why).collect()
}

fn id(list: Uuid) -> ValueRef<'static> {
    ValueRef::Blob(list.into_bytes().to_vec().into())
}

fn text(text: &'static str) -> ValueRef<'static> {
    ValueRef::Text(text.into())
}

/// All that a todo needs to be shown.
fn todo_of(list: Uuid, title: &'static str) -> [(&'static str, ValueRef<'static>); 3] {
    [("list_id", id(list)), ("title", text(title)), ("done", ValueRef::Integer(0))]
}

/// Two users with a list that both write to; Alice has a second one of her own.
fn alice_and_bob(seed: u64) -> (Db, Db, Uuid, Uuid) {
    let (alice, bob) = (person(1, seed).remove(0).db, person(1, seed + 100).remove(0).db);
    let shopping = alice.insert(list("Shopping")).unwrap().id;
    let diary = alice.insert(list("Diary")).unwrap().id;
    share(&alice, &bob, shopping, Role::Writer);
    (alice, bob, shopping, diary)
}

#[test]
fn what_a_writer_makes_by_hand_is_shown_so_that_what_follows_means_something() {
    let (alice, bob, shopping, _) = alice_and_bob(0);
    let row = alice.insert(todo(shopping, "Milk")).unwrap();
    let run = Forger::new(&bob, shopping, 7)
        .op("todos", OpKind::Create, Uuid::from_u128(9), &todo_of(shopping, "by hand"))
        .op("todos", OpKind::Update, row.id, &[("title", text("edited by hand"))])
        .run();
    take(&alice, vec![run]);
    let titles: Vec<String> = alice.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    assert_eq!(titles, ["by hand", "edited by hand"]);
}

#[test]
fn an_op_on_a_private_model_that_comes_in_a_shared_space_has_no_effect_and_is_passed_on() {
    let (alice, bob, shopping, _) = alice_and_bob(1);
    let mine = alice.insert(setting("dark")).unwrap();
    let run = Forger::new(&bob, shopping, 7)
        .op("settings", OpKind::Update, mine.id, &[("name", text("hijacked"))])
        .op("settings", OpKind::Delete, mine.id, &[])
        .op("settings", OpKind::Create, Uuid::from_u128(9), &[("name", text("planted"))])
        .run();
    take(&alice, vec![run.clone()]);
    assert_eq!(alice.all::<Setting>().unwrap(), [mine]);
    assert!(runs(&alice, shopping).contains(&run));
    assert_sound(&alice);
}

#[test]
fn a_row_of_another_list_is_neither_made_nor_changed_from_a_list() {
    let (alice, bob, shopping, diary) = alice_and_bob(2);
    let secret = alice.insert(todo(diary, "Secret")).unwrap();
    let run = Forger::new(&bob, shopping, 7)
        .op("todos", OpKind::Create, Uuid::from_u128(9), &todo_of(diary, "planted"))
        .op("lists", OpKind::Update, diary, &[("name", text("hijacked"))])
        .op("lists", OpKind::Create, Uuid::from_u128(8), &[("name", text("a space of nobody"))])
        .op("notes", OpKind::Create, Uuid::from_u128(7), &[("list_id", ValueRef::Null), ("body", text("home"))])
        .op("notes", OpKind::Update, Uuid::from_u128(6), &[("body", text("without a list"))])
        .run();
    take(&alice, vec![run]);
    assert_eq!(alice.all::<Todo>().unwrap(), [secret]);
    let mut names: Vec<String> = alice.all::<List>().unwrap().into_iter().map(|list| list.name).collect();
    names.sort();
    assert_eq!(names, ["Diary", "Shopping"]);
    assert_eq!(alice.all::<Note>().unwrap(), []);
    assert_sound(&alice);
}

#[test]
fn an_edit_of_a_private_row_from_a_shared_list_has_no_effect_whichever_came_first() {
    let (alice, bob, shopping, diary) = alice_and_bob(3);
    let private = alice.insert(note(None, "mine")).unwrap();
    let secret = alice.insert(todo(diary, "Secret")).unwrap();
    let run = Forger::new(&bob, shopping, 7)
        .op("notes", OpKind::Update, private.id, &[("body", text("hijacked"))])
        .op("notes", OpKind::Delete, private.id, &[])
        .op("notes", OpKind::Create, private.id, &[("list_id", id(shopping)), ("body", text("claimed"))])
        .run();
    take(&alice, vec![run.clone()]);
    assert_eq!(alice.all::<Note>().unwrap(), std::slice::from_ref(&private));
    assert_eq!(alice.all::<Todo>().unwrap(), [secret]);
    assert_sound(&alice);
    // Her other device hears of it before it hears of the note.
    let laptop = cfost_tests::fleet::Device::in_memory("laptop", super::all_models(), 33).unwrap();
    cfost_tests::fleet::pair(&alice, &laptop.db, &laptop.host).unwrap();
    tell_entries(&alice, &laptop.db);
    take(&laptop.db, vec![run]);
    assert_eq!(laptop.db.all::<Note>().unwrap()[0].body, "claimed");
    cfost_tests::fleet::sync(&laptop.db, &alice).unwrap();
    assert_eq!(laptop.db.all::<Note>().unwrap(), [private]);
    assert_sound(&laptop.db);
}

#[test]
fn a_row_that_is_claimed_from_two_lists_is_the_same_for_all_who_hold_both() {
    let (alice, bob, first, second) = alice_and_bob(4);
    share(&alice, &bob, second, Role::Writer);
    let row = alice.insert(todo(first, "of the first")).unwrap();
    meet(&alice, &bob, first);
    let run = Forger::new(&bob, second, 7).op("todos", OpKind::Create, row.id, &todo_of(second, "of the second")).run();
    take(&alice, vec![run.clone()]);
    let carol = person(1, 304).remove(0).db;
    share(&alice, &carol, second, Role::Reader);
    take(&carol, vec![run]);
    share(&alice, &carol, first, Role::Reader);
    assert_eq!(alice.all::<Todo>().unwrap(), carol.all::<Todo>().unwrap());
    for db in [&alice, &carol] {
        assert_sound(db);
    }
}

#[test]
fn what_a_reader_makes_by_hand_is_not_shown_whoever_relays_it() {
    let (alice, bob, shopping, _) = alice_and_bob(5);
    let carol = person(1, 305).remove(0).db;
    share(&alice, &carol, shopping, Role::Reader);
    let says = todo_of(shopping, "by a reader");
    let run = Forger::new(&carol, shopping, 7).op("todos", OpKind::Create, Uuid::from_u128(9), &says).run();
    tell_entries(&alice, &bob);
    take(&bob, vec![run]);
    assert_eq!(bob.all::<Todo>().unwrap(), []);
    take(&alice, runs(&bob, shopping));
    assert_eq!(alice.all::<Todo>().unwrap(), []);
    for db in [&alice, &bob] {
        assert_sound(db);
    }
}

#[test]
fn a_removed_member_who_goes_on_under_the_old_key_is_not_heard_also_in_a_log_of_its_own() {
    let (alice, bob, shopping, _) = alice_and_bob(6);
    let says = todo_of(shopping, "too late");
    let run = Forger::new(&bob, shopping, 7).op("todos", OpKind::Create, Uuid::from_u128(9), &says).run();
    end(&alice, &bob, shopping);
    take(&alice, vec![run]);
    assert_eq!(alice.all::<Todo>().unwrap(), []);
    assert_sound(&alice);
}

#[test]
fn a_stranger_to_a_space_writes_nothing_there_and_a_member_no_epoch_of_his_own() {
    let (alice, bob, shopping, diary) = alice_and_bob(7);
    let says = todo_of(diary, "by a stranger");
    let forger = Forger::new(&bob, shopping, 7).op("todos", OpKind::Create, Uuid::from_u128(9), &says);
    let elsewhere = Run { space: space(diary), ..forger.run() };
    assert_eq!(refusals(&alice, elsewhere), [Refusal::Author]);
    let nowhere = Run { space: SpaceId::from_bytes([9; 16]), ..runs(&bob, shopping)[0].clone() };
    assert_eq!(refusals(&alice, nowhere), [Refusal::Author]);
    let mut forger = Forger::new(&bob, shopping, 8);
    forger.run.epochs = vec![(forger.key.epoch(), [6; 32])];
    let says = todo_of(shopping, "another key");
    let run = forger.op("todos", OpKind::Create, Uuid::from_u128(9), &says).run();
    assert!(!refusals(&alice, run).is_empty());
    assert_eq!(alice.all::<Todo>().unwrap(), []);
}

#[test]
fn changes_of_one_space_are_worth_nothing_in_another() {
    let (alice, bob, shopping, diary) = alice_and_bob(8);
    share(&alice, &bob, diary, Role::Writer);
    bob.insert(todo(shopping, "Milk")).unwrap();
    for run in runs(&bob, shopping) {
        let replayed = Run { space: space(diary), log: LogId::from_bytes([5; 16]), ..run };
        assert!(!refusals(&alice, replayed).is_empty());
    }
    assert_eq!(alice.all::<Todo>().unwrap(), []);
}

#[test]
fn naming_a_log_of_another_space_gets_nobody_anything_of_it() {
    let (alice, bob, shopping, diary) = alice_and_bob(9);
    alice.insert(todo(diary, "Secret")).unwrap();
    let replica = alice.replica().unwrap();
    let (hidden, head) = replica.frontier(space(diary)).unwrap().iter().next().unwrap();
    let mut forger = Forger::new(&bob, shopping, 7);
    forger.deps = vec![Dep { log: hidden, head }];
    let says = todo_of(shopping, "built on the diary");
    take(&alice, vec![forger.op("todos", OpKind::Create, Uuid::from_u128(9), &says).run()]);
    let served = replica.runs_after(space(shopping), &Seqs::new(), 1 << 20).unwrap();
    assert!(served.iter().all(|served| served.run.space == space(shopping)));
    assert_eq!(replica.change_id(space(shopping), hidden, head.seq).unwrap(), None);
    assert_eq!(replica.change_id(space(diary), hidden, head.seq).unwrap(), Some(head.id));
}
