//! The statistics against their schema, while everything moves.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::harness::audience::{attendees, replicas};
use crate::harness::program::origin;
use crate::harness::{Edge, Origin, Setup, instance};

struct Schema(Schemas, SchemaIndex);

impl Schema {
    fn new() -> Self {
        const AT: &str = "https://usher.example.org/stats.schema.json";
        let text = include_str!("../../config/stats.schema.json");
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let schema = serde_json::from_str(text).expect("JSON");
        compiler.add_resource(AT, schema).expect("a schema");
        let index = compiler.compile(AT, &mut schemas).expect("a schema");
        Self(schemas, index)
    }

    fn check(&self, stats: &Value) -> Result<(), String> {
        let Self(schemas, index) = self;
        let checked = schemas.validate(stats, *index);
        checked.map_err(|error| format!("{error:#}\n{stats}"))
    }
}

/// An instance whose replicas are processes, and these tables.
pub fn configuration(more: &str) -> String {
    let program = origin().display().to_string();
    format!(
        "[engine]\nkind = \"processes\"\n\
         [[instance]]\nname = \"congress\"\ndomains = [\"congress.example.org\"]\n\
         [instance.scale]\nsessions-per-replica = 4\ndown-after = \"1s\"\n\
         [instance.service.web]\nrole = \"sessions\"\ncommand = [\"{program}\"]\nmax = 3\n\
         probe = \"/\"\n{more}"
    )
}

/// People come and go, replicas with them; an instance is declared, paused and taken away.
pub async fn everything_moves(edge: &Edge) {
    let fixed = Origin::start("fixed").await;
    replicas(edge, "web", 1).await;
    let sockets = attendees(edge, 10).await;
    replicas(edge, "web", 3).await;
    edge.reload(&configuration(&instance("assembly", &[fixed.address])))
        .await;
    edge.order(&json!({ "do": "pause", "instance": "assembly" }))
        .await;
    let scale = json!({
        "do": "scale", "instance": "congress", "service": "web", "replicas": 2, "seconds": 60,
    });
    edge.order(&scale).await;
    for socket in sockets {
        socket.close().await;
    }
    edge.order(&json!({ "do": "auto", "instance": "congress" }))
        .await;
    edge.reload(&configuration("")).await;
    replicas(edge, "web", 1).await;
}

#[tokio::test]
async fn statistics_are_as_their_schema_says_while_stacks_come_and_go() {
    let schema = Schema::new();
    let edge = Setup::new(&configuration("")).start().await;
    let mut looked = 0;
    let act = everything_moves(&edge);
    let look = async {
        loop {
            checked(&edge, &schema).await;
            looked += 1;
        }
    };
    tokio::select! {
        () = act => {}
        () = look => {}
    }
    println!("looked {looked} times");
    assert!(looked > 5, "{looked}");
}

async fn checked(edge: &Edge, schema: &Schema) {
    schema.check(&edge.stats().await).unwrap();
    let one = edge.admin("/stats/congress").await.json();
    let mut whole = edge.stats().await;
    whole["instances"] = json!([one]);
    schema.check(&whole).unwrap();
}

#[tokio::test]
async fn the_schema_notices_what_is_missing_new_or_wrong() {
    let schema = Schema::new();
    let origin = Origin::start("one").await;
    let edge = Edge::start(&instance("congress", &[origin.address])).await;
    let good = edge.stats().await;
    schema.check(&good).unwrap();
    let wrong: [(&str, Value); 5] = [
        ("/status", json!("fine")),
        ("/totals/websockets", json!(-1)),
        ("/started", json!("yesterday")),
        ("/instances/0/services/0/replicas/0/state", json!("gone")),
        (
            "/instances/0/next_event",
            json!({ "name": "Federal congress" }),
        ),
    ];
    for (place, value) in wrong {
        let mut stats = good.clone();
        *stats.pointer_mut(place).expect(place) = value;
        assert!(schema.check(&stats).is_err(), "{place}");
    }
    let mut stats = good.clone();
    stats["news"] = json!(1);
    assert!(
        schema.check(&stats).is_err(),
        "a name that the schema does not know"
    );
    let mut stats = good;
    stats["instances"][0]
        .as_object_mut()
        .unwrap()
        .remove("held");
    assert!(schema.check(&stats).is_err(), "a name that is missing");
}
