// What pgjdbc sees: DatabaseMetaData, prepared queries of all common types, cursors by fetch size. One fact a line.
//
// usage: java -cp /usr/share/java/postgresql.jar Jdbc.java URL SCHEMA   (the file is compiled as it is run)
import java.sql.*;
import java.util.*;

public class Jdbc {
    static String schema;

    static void show(String what, ResultSet rs, String... skipped) throws SQLException {
        Set<String> skip = new TreeSet<>(String.CASE_INSENSITIVE_ORDER);
        skip.addAll(Arrays.asList(skipped));
        ResultSetMetaData m = rs.getMetaData();
        List<String> lines = new ArrayList<>();
        StringBuilder head = new StringBuilder();
        for (int i = 1; i <= m.getColumnCount(); i++) {
            head.append(' ').append(m.getColumnName(i)).append(':').append(m.getColumnTypeName(i));
        }
        while (rs.next()) {
            StringBuilder line = new StringBuilder();
            for (int i = 1; i <= m.getColumnCount(); i++) {
                if (!skip.contains(m.getColumnName(i))) line.append(" | ").append(rs.getString(i));
            }
            lines.add(line.toString());
        }
        Collections.sort(lines);
        System.out.println(what + head);
        for (String l : lines) System.out.println(what + l);
    }

    static void prepared(Connection c, String type, Object value, int sql) throws SQLException {
        try (PreparedStatement p = c.prepareStatement("SELECT ?::" + type + " AS v")) {
            if (value == null) p.setNull(1, sql); else p.setObject(1, value, sql);
            // More often than prepareThreshold: the statement becomes a server's one, with binary results.
            for (int i = 0; i < 7; i++) {
                try (ResultSet rs = p.executeQuery()) {
                    rs.next();
                    if (i == 0 || i == 6) {
                        Object o = rs.getObject(1);
                        String text = o instanceof byte[] ? Arrays.toString((byte[]) o) : rs.getString(1);
                        System.out.println("prepared " + type + " " + rs.getMetaData().getColumnTypeName(1) + " " + text + " " + (o == null ? null : o.getClass().getSimpleName()));
                    }
                }
            }
        } catch (SQLException e) {
            System.out.println("prepared " + type + " failed " + e.getSQLState() + " " + e.getMessage().split("\n")[0]);
            c.rollback();
        }
    }

    static void attempt(String what, Callable f) {
        try {
            f.call();
        } catch (Exception e) {
            System.out.println(what + " failed: " + e.getMessage());
        }
    }

    interface Callable { void call() throws Exception; }

    public static void main(String[] args) throws Exception {
        schema = args[1];
        try (Connection c = DriverManager.getConnection(args[0])) {
            DatabaseMetaData d = c.getMetaData();
            attempt("tables", () -> show("tables", d.getTables(null, schema, "%", null), "TABLE_CAT"));
            attempt("types of tables", () -> show("partitioned", d.getTables(null, schema, "%", new String[] {"TABLE", "PARTITIONED TABLE", "VIEW"}), "TABLE_CAT"));
            attempt("schemas", () -> { ResultSet rs = d.getSchemas(null, schema); show("schemas", rs, "TABLE_CATALOG"); });
            attempt("columns", () -> show("columns", d.getColumns(null, schema, "%", "%"), "TABLE_CAT"));
            for (String t : new String[] {"users", "orders", "items", "events", "moods", "Mixed Case"}) {
                attempt("keys", () -> show("keys " + t, d.getPrimaryKeys(null, schema, t), "TABLE_CAT"));
                attempt("imported", () -> show("imported " + t, d.getImportedKeys(null, schema, t), "PKTABLE_CAT", "FKTABLE_CAT"));
                attempt("exported", () -> show("exported " + t, d.getExportedKeys(null, schema, t), "PKTABLE_CAT", "FKTABLE_CAT"));
                attempt("index", () -> show("index " + t, d.getIndexInfo(null, schema, t, false, true), "TABLE_CAT", "CARDINALITY", "PAGES"));
                attempt("best row", () -> show("best row " + t, d.getBestRowIdentifier(null, schema, t, DatabaseMetaData.bestRowSession, true)));
            }
            attempt("types", () -> {
                try (ResultSet rs = d.getTypeInfo()) {
                    List<String> lines = new ArrayList<>();
                    Set<String> wanted = new HashSet<>(Arrays.asList("bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar", "bpchar", "date", "time", "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "bytea", "_int4", "_text", "oid", "name"));
                    while (rs.next()) if (wanted.contains(rs.getString(1))) lines.add("type " + rs.getString(1) + " " + rs.getInt(2) + " " + rs.getInt(3) + " " + rs.getInt(7));
                    Collections.sort(lines);
                    lines.forEach(System.out::println);
                }
            });
            attempt("functions", () -> { ResultSet rs = d.getFunctions(null, "pg_catalog", "quote_ident"); show("functions", rs, "FUNCTION_CAT", "REMARKS", "SPECIFIC_NAME"); });
            attempt("limits", () -> System.out.println("limits " + d.getMaxColumnNameLength() + " " + d.getDatabaseMajorVersion() + " " + d.getDatabaseProductName()));

            c.setAutoCommit(false);
            prepared(c, "int4", 7, Types.INTEGER);
            prepared(c, "int8", 7_000_000_000L, Types.BIGINT);
            prepared(c, "int2", (short) 3, Types.SMALLINT);
            prepared(c, "bool", true, Types.BOOLEAN);
            prepared(c, "float8", 1.25, Types.DOUBLE);
            prepared(c, "float4", 1.25f, Types.REAL);
            prepared(c, "numeric", new java.math.BigDecimal("12.34"), Types.NUMERIC);
            prepared(c, "text", "it's", Types.VARCHAR);
            prepared(c, "varchar", "x", Types.VARCHAR);
            prepared(c, "date", java.sql.Date.valueOf("2024-02-29"), Types.DATE);
            prepared(c, "timestamp", Timestamp.valueOf("2024-02-29 12:34:56.789"), Types.TIMESTAMP);
            prepared(c, "time", Time.valueOf("12:34:56"), Types.TIME);
            prepared(c, "uuid", UUID.fromString("00000000-0000-0000-0000-000000000001"), Types.OTHER);
            prepared(c, "bytea", new byte[] {1, 2, (byte) 255}, Types.BINARY);
            prepared(c, "int4", null, Types.INTEGER);
            prepared(c, "int4[]", c.createArrayOf("int4", new Object[] {1, null, 3}), Types.ARRAY);
            prepared(c, "text[]", c.createArrayOf("text", new Object[] {"a", "b,c"}), Types.ARRAY);

            for (String sql : new String[] {
                "SELECT 1 + 1 AS sum, CASE WHEN true THEN 1 END AS one, ARRAY[1, 2] AS list, n, g FROM generate_series(1, 2) AS g, (VALUES (1), (NULL)) AS v(n)",
                "SELECT count(*) AS all, sum(CASE WHEN id > 1 THEN 1 ELSE 0 END) AS some, max(id + 1) AS next FROM " + schema + ".users",
                "SELECT id, email, name, score, born, created, tags, uid, doc FROM " + schema + ".users ORDER BY id",
                "SELECT id, mood, moods FROM " + schema + ".moods",
                "SELECT id, at, kind FROM " + schema + ".events ORDER BY id",
            }) {
                attempt(sql.replace(schema, "SCHEMA"), () -> { try (Statement s = c.createStatement(); ResultSet rs = s.executeQuery(sql)) { show("rows", rs); } });
            }
            // A cursor: three round trips of two rows.
            attempt("cursor", () -> {
                try (PreparedStatement p = c.prepareStatement("SELECT a.id, b.id FROM " + schema + ".users a, " + schema + ".users b WHERE a.id >= ? ORDER BY 1, 2")) {
                    p.setFetchSize(2);
                    p.setInt(1, 1);
                    try (ResultSet rs = p.executeQuery()) {
                        while (rs.next()) System.out.println("cursor " + rs.getInt(1) + " " + rs.getInt(2));
                    }
                }
            });
            try {
                c.createStatement().executeQuery("SELECT * FROM nothere");
            } catch (SQLException e) {
                System.out.println("error " + e.getSQLState());
                c.rollback();
            }
            try (ResultSet rs = c.createStatement().executeQuery("SELECT count(*) FROM " + schema + ".users")) {
                rs.next();
                System.out.println("after " + rs.getLong(1));
            }
        }
    }
}
