//! Models that an app no longer lists, and lists again.

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device};

use super::apps::{App, fill, models, v1, v5};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1)]
struct Shopping {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[test]
fn a_model_that_is_not_listed_keeps_its_rows_and_is_right_when_it_is_listed_again() {
    let dir = tempfile::tempdir().unwrap();
    let both = || [models(1)[0], models![Shopping][0]];
    let mut app = App::new(dir.path().join("todo.db"), both());
    let other = Device::in_memory("other", both(), 9).unwrap();
    fleet::pair(app.db(), &other.db, &other.host).unwrap();
    let ids = fill(app.db());
    fleet::sync(app.db(), &other.db).unwrap();

    // Without the model: what others write of it is kept and relayed.
    app.open(models![Shopping]);
    other.db.update(ids[8], |todo: &mut v1::Todo| todo.due = "day 80".into()).unwrap();
    let new = other.db.insert(v1::Todo { title: "new of many".into(), ..v1::Todo::default() }).unwrap();
    fleet::sync(app.db(), &other.db).unwrap();
    app.db().insert(Shopping { name: "groceries".into(), ..Shopping::default() }).unwrap();
    app.assert_sound();
    let rows = app.db().sql("SELECT count(*) FROM todos").rows::<(i64,)>().unwrap();
    assert_eq!(rows, [(i64::try_from(other.db.count::<v1::Todo>().unwrap()).unwrap() - 1,)]);
    let third = Device::in_memory("third", both(), 10).unwrap();
    fleet::pair(app.db(), &third.db, &third.host).unwrap();
    fleet::sync(app.db(), &third.db).unwrap();
    assert_eq!(third.db.all::<v1::Todo>().unwrap(), other.db.all::<v1::Todo>().unwrap());

    // Again, and at a later version.
    app.open(both());
    app.assert_sound();
    assert_eq!(app.db().all::<v1::Todo>().unwrap(), other.db.all::<v1::Todo>().unwrap());
    app.open(models![Shopping]);
    other.db.delete::<v1::Todo>(new.id).unwrap();
    fleet::sync(app.db(), &other.db).unwrap();
    app.open([models(5)[0], models![Shopping][0]]);
    app.assert_sound();
    let shown: Vec<v5::Todo> = app.db().all().unwrap();
    assert!(shown.iter().all(|todo| todo.id != new.id));
    assert_eq!(shown.iter().find(|todo| todo.id == ids[8]).unwrap().due, 80.0);
    assert_eq!(app.db().count::<Shopping>().unwrap(), 1);
}
