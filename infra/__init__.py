"""The local Kafka and Postgres, and what runs AAM elsewhere: images, compose files, rules, dashboards."""
