-- What is known of the shop's customers beside their orders. Loaded into MySQL and MariaDB alike, so that each can be joined with the other.
CREATE TABLE contacts (
    id           int PRIMARY KEY,
    customer_id  int NOT NULL,
    name         varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
    tier         varchar(10) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,
    born         date,
    KEY by_customer (customer_id),
    KEY by_name (name)
);
INSERT INTO contacts VALUES
    (11, 1, 'Ada', 'gold', '1990-12-10'),
    (12, 2, 'BJÖRN', 'silver', NULL),
    (13, 3, 'chloé', 'Gold', '1985-02-28'),
    (14, 4, 'adne', 'gold ', '2000-02-29'),
    (15, 5, 'dag', 'none', '1970-01-01');

CREATE TABLE visits (
    id          bigint unsigned PRIMARY KEY,
    contact_id  int NOT NULL,
    at          datetime NOT NULL,
    pages       smallint unsigned NOT NULL,
    KEY by_contact (contact_id)
);
CREATE TABLE digits (i int NOT NULL);
INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
-- Four visits of each contact; all others are of people whom the shop does not know.
INSERT INTO visits
SELECT n, IF(n < 20, 11 + n % 5, 1000 + n), DATE_ADD('2025-01-01', INTERVAL n HOUR), n % 7
FROM (SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i AS n FROM digits a, digits b, digits c, digits d) s
WHERE n < 5000;
ANALYZE TABLE contacts, visits;
