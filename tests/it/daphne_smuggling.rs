//! The same requests as in `smuggling`, with daphne, as the applications of instances run on, as the second reader.

use crate::harness::readers::Reader;
use crate::smuggling::second::understands_what_was_meant;

#[tokio::test]
#[ignore = "needs daphne"]
async fn daphne_understands_exactly_the_requests_that_were_meant() {
    understands_what_was_meant(Reader::daphne().await).await;
}
