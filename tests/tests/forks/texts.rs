//! Texts that a device had edited before its log took two ways: one way goes on in them, the same on every device.

use cfost::oplog::{Chain, ChangeId, Run};
use cfost::sync::Refusal;

use super::branches::{files, ids, next, put, runs};
use super::*;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(text)]
    body: Text,
}

/// A phone that had typed in a note, and was cloned then; each of the two typed on, and told another device.
struct Story {
    folder: Folder,
    laptop: Db,
    tablet: Db,
    note: Uuid,
    /// The changes that the laptop was told of, and not the tablet.
    told_laptop: Vec<ChangeId>,
    /// The state of the phone that met the laptop.
    phone: [Vec<u8>; 2],
}

fn open(folder: &mut Folder, name: &str) -> Db {
    let host = folder.host();
    Db::options().host(host).device_name(name).open(folder.path(name), models![Note]).unwrap()
}

fn joins(folder: &mut Folder, to: &Db, name: &str) -> Db {
    let db = open(folder, name);
    let host = folder.host();
    fleet::pair(to, &db, &host).unwrap();
    db
}

fn append(db: &Db, note: Uuid, text: &str) {
    db.update(note, |note: &mut Note| note.body.push_str(text)).unwrap();
}

fn body(db: &Db, note: Uuid) -> String {
    db.get::<Note>(note).unwrap().unwrap().body.as_str().to_owned()
}

fn begin(db: &Db, title: &str) {
    let note = db.insert(Note { title: title.into(), body: "begun".into(), ..Note::default() }).unwrap();
    append(db, note.id, &format!(" {title}"));
}

/// Whether all characters of a part are shown, in their order.
fn is_within(part: &str, shown: &str) -> bool {
    let mut shown = shown.chars();
    part.chars().all(|char| shown.any(|other| other == char))
}

fn change_ids(runs: &[Run]) -> Vec<ChangeId> {
    let verified = runs.iter().flat_map(|run| {
        let mut chain = Chain::new(run.space, run.author, run.written_to());
        run.verify(&mut chain).unwrap().into_iter().map(|change| change.id).collect::<Vec<_>>()
    });
    verified.collect()
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut folder = Folder { opened: seed * 1000, ..Folder::new() };
        let phone = open(&mut folder, "phone");
        let laptop = joins(&mut folder, &phone, "laptop");
        let tablet = joins(&mut folder, &phone, "tablet");
        let note = phone.insert(Note { body: "common".into(), ..Note::default() }).unwrap().id;
        append(&phone, note, ".");
        meet(&phone, &laptop);
        meet(&phone, &tablet);
        drop(phone);
        let path = folder.path("phone");
        let saved = files(&path);
        let phone = open(&mut folder, "phone");
        append(&phone, note, " laptop's one.");
        begin(&phone, "of the laptop's way");
        append(&phone, note, " laptop's two.");
        meet(&phone, &laptop);
        drop(phone);
        let of_laptop = files(&path);
        put(&path, &saved);
        let clone = open(&mut folder, "phone");
        append(&clone, note, " tablet's one, which is longer.");
        clone.update(note, |note: &mut Note| note.title = "titled".into()).unwrap();
        begin(&clone, "of the tablet's way");
        meet(&clone, &tablet);
        drop(clone);
        let other = change_ids(&runs(&tablet, 1 << 20));
        let told = change_ids(&runs(&laptop, 1 << 20)).into_iter().filter(|id| !other.contains(id)).collect();
        Self { folder, laptop, tablet, note, told_laptop: told, phone: of_laptop }
    }

    /// Whether the way that the laptop was told of goes on in the texts: that with the least name.
    fn laptops_goes_on(&self) -> bool {
        let forks = self.laptop.forks().unwrap();
        let [fork] = &forks[..] else { panic!("{forks:?}") };
        assert!(fork.branches[0].log < fork.branches[1].log);
        self.told_laptop.contains(&fork.branches[0].first)
    }

    fn assert_same(&self, dbs: &[&Db], expected: &str) {
        for db in dbs {
            assert_eq!(body(db, self.note), expected);
            assert_sound(db);
            assert_eq!(db.all::<Note>().unwrap(), dbs[0].all::<Note>().unwrap());
            assert_eq!(ids(db), ids(dbs[0]));
            assert_eq!(db.forks().unwrap(), dbs[0].forks().unwrap());
        }
        let notes = dbs[0].all::<Note>().unwrap();
        for way in ["of the laptop's way", "of the tablet's way"] {
            let begun = notes.iter().find(|note| note.title == way).expect("both ways began a note");
            assert_eq!(begun.body, format!("begun {way}").as_str());
        }
        assert!(notes.iter().any(|note| note.title == "titled"), "other columns show both ways");
    }
}

const LAPTOPS: &str = "common. laptop's one. laptop's two.";
const TABLETS: &str = "common. tablet's one, which is longer.";

#[test]
fn the_way_with_the_least_name_goes_on_in_a_text_everywhere_and_nothing_of_it_is_lost() {
    let mut went_on = [0; 2];
    for seed in 0..8 {
        let mut story = Story::new(seed);
        assert_eq!(
            (body(&story.laptop, story.note), body(&story.tablet, story.note)),
            (LAPTOPS.into(), TABLETS.into())
        );
        let before: Vec<_> = [&story.laptop, &story.tablet].into_iter().flat_map(ids).collect();
        meet(&story.laptop, &story.tablet);
        let goes_on = story.laptops_goes_on();
        went_on[usize::from(goes_on)] += 1;
        let expected = if goes_on { LAPTOPS } else { TABLETS };
        story.assert_same(&[&story.laptop, &story.tablet], expected);
        let kept = ids(&story.laptop);
        assert!(before.iter().all(|id| kept.contains(id)), "what the other way did is kept");

        // Everybody types on, who comes later too, and the clone.
        let clone = open(&mut story.folder, "phone");
        let watch = joins(&mut story.folder, &story.laptop, "watch");
        meet(&story.laptop, &story.tablet);
        meet(&watch, &story.tablet);
        meet(&watch, &clone);
        story.assert_same(&[&story.laptop, &story.tablet, &watch, &clone], expected);
        let mut expected = expected.to_owned();
        for (n, db) in [&clone, &story.tablet, &story.laptop].into_iter().enumerate() {
            meet(db, &watch);
            append(db, story.note, &format!(" More {n}."));
            expected.push_str(&format!(" More {n}."));
            meet(db, &watch);
        }
        for db in [&clone, &story.tablet, &story.laptop] {
            meet(db, &watch);
        }
        story.assert_same(&[&story.laptop, &story.tablet, &watch, &clone], &expected);
        drop(watch);
        let watch = open(&mut story.folder, "watch");
        story.assert_same(&[&story.laptop, &watch], &expected);
    }
    assert!(went_on.iter().all(|times| *times > 0), "{went_on:?}");
}

#[test]
fn in_whatever_order_the_ways_come_the_text_is_the_same() {
    for seed in 0..4 {
        let mut story = Story::new(seed);
        let mut all = [runs(&story.laptop, 1 << 20), runs(&story.tablet, 1 << 20)].concat();
        meet(&story.laptop, &story.tablet);
        all.extend(runs(&story.laptop, 1 << 20));
        let expected = if story.laptops_goes_on() { LAPTOPS } else { TABLETS };
        for order in 1..9_u64 {
            let mut state = (seed * 100 + order).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let late = joins(&mut story.folder, &story.laptop, &format!("late {order}"));
            let replica = late.replica().unwrap();
            let (mut rest, mut missed) = ([all.clone(), all.clone()].concat(), Vec::new());
            while !rest.is_empty() {
                let run = rest.swap_remove(next(&mut state, rest.len()));
                for refused in replica.apply(vec![run.clone()]).unwrap().refused {
                    assert!(matches!(refused.why, Refusal::Gap | Refusal::Forked), "{refused:?}");
                    missed.push(run.clone());
                }
            }
            for _ in 0..missed.len() {
                replica.apply(missed.clone()).unwrap();
            }
            story.assert_same(&[&story.laptop, &late], expected);
        }
    }
}

#[test]
fn who_typed_upon_the_way_that_does_not_go_on_types_on_and_all_see_it() {
    let mut went_on = [0; 2];
    for seed in 0..8 {
        let mut story = Story::new(seed);
        append(&story.laptop, story.note, " Upon laptop's.");
        append(&story.tablet, story.note, " Upon tablet's.");
        meet(&story.laptop, &story.tablet);
        let goes_on = story.laptops_goes_on();
        went_on[usize::from(goes_on)] += 1;
        let shown = body(&story.laptop, story.note);
        story.assert_same(&[&story.laptop, &story.tablet], &shown);
        // What was typed upon the other way may be shown amidst: its places are of steps that both ways have.
        for part in if goes_on { [LAPTOPS, " Upon laptop's."] } else { [TABLETS, " Upon tablet's."] } {
            assert!(is_within(part, &shown), "{part:?} in {shown:?}");
        }
        append(&story.laptop, story.note, " Laptop again.");
        meet(&story.laptop, &story.tablet);
        append(&story.tablet, story.note, " Tablet again.");
        meet(&story.laptop, &story.tablet);
        assert_sound(&story.laptop);
        assert_sound(&story.tablet);
        // The phone that the laptop had met has not heard of the other, and goes on.
        let path = story.folder.path("phone");
        put(&path, &story.phone);
        let phone = open(&mut story.folder, "phone");
        append(&phone, story.note, " And the phone, with so many words that its way has more steps than the other.");
        meet(&phone, &story.laptop);
        meet(&story.laptop, &story.tablet);
        let watch = joins(&mut story.folder, &story.laptop, "watch");
        meet(&watch, &story.tablet);
        let shown = body(&story.laptop, story.note);
        for part in [" Laptop again.", " Tablet again."] {
            assert!(is_within(part, &shown), "seed {seed}, {goes_on}: {part:?} in {shown:?}");
        }
        for db in [&story.tablet, &watch] {
            assert_eq!(body(db, story.note), shown, "seed {seed}, {goes_on}");
            assert_sound(db);
        }
        assert_sound(&story.laptop);
    }
    assert!(went_on.iter().all(|times| *times > 0), "{went_on:?}");
}
