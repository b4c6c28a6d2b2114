import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.LocalDate;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Currency;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/**
 * Kafka Streams: one thread, exactly_once_v2; the job's mapping sets applied with Jackson, events as JSON. It knows the
 * transforms that the benchmark's sets use and refuses any other. An event_id is MD5 here (BLAKE2b isn't in the JDK).
 */
public final class CanonicalizeStreams {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final JsonFactory FACTORY = JSON.getFactory();

  /** One canonical field and how it is filled. */
  private static final class Field {
    String name;
    String kind;
    boolean isList;
    List<Field> members = new ArrayList<>();
    String op; // null: nothing maps it
    String source;
    String[] path;
    String[] currency;
    boolean eachElement;
    Map<String, String> words = new HashMap<>();
    Map<String, Boolean> exactWords = new HashMap<>();
  }

  /** What a set reads, to tell what it leaves over. */
  private static final class Node {
    boolean read;
    final Map<String, Node> children = new HashMap<>();
  }

  /** One mapping set. */
  private static final class Plan {
    String entity;
    int version;
    long revision;
    String[] key;
    boolean keyIsMapped;
    final List<Field> fields = new ArrayList<>();
    final Node tree = new Node();
  }

  private static Plan plan(JsonNode set, JsonNode entities) {
    Plan plan = new Plan();
    plan.entity = set.get("mappings").get(0).get("canonical_entity").asText();
    plan.version = entities.get(plan.entity).get("version").asInt();
    plan.revision = set.get("revision").asLong();
    String key = set.get("primary_key").get(0).asText();
    plan.key = key.split("\\.");
    mark(plan.tree, plan.key);
    Map<String, JsonNode> mappings = new HashMap<>();
    for (JsonNode mapping : set.get("mappings")) {
      mappings.put(mapping.get("canonical_field").asText(), mapping);
      plan.keyIsMapped |= mapping.get("source_field").asText().equals(key);
    }
    for (JsonNode field : entities.get(plan.entity).get("fields")) {
      plan.fields.add(field(plan, field, "", mappings));
    }
    return plan;
  }

  private static Field field(Plan plan, JsonNode given, String prefix, Map<String, JsonNode> mappings) {
    Field field = new Field();
    field.name = given.get("name").asText();
    field.kind = given.get("kind").asText();
    field.isList = given.get("is_list").asBoolean();
    for (JsonNode member : given.get("members")) {
      field.members.add(field(plan, member, field.name + "[].", mappings));
    }
    JsonNode mapping = mappings.get(prefix + field.name);
    if (mapping == null) {
      return field;
    }
    JsonNode transform = mapping.get("transform");
    field.op = transform.get("op").asText();
    String source = mapping.get("source_field").asText();
    field.eachElement = source.endsWith("[]");
    field.source = field.eachElement ? source.substring(0, source.length() - 2) : source;
    field.path = field.source.split("\\.");
    mark(plan.tree, field.path);
    if (transform.get("inputs").size() > 0) {
      field.currency = transform.get("inputs").get(0).asText().split("\\.");
      mark(plan.tree, field.currency);
    }
    if (field.op.equals("enum")) {
      JsonNode values = transform.get("params").get("values");
      Map<String, Integer> times = new HashMap<>();
      values.forEach(value -> times.merge(value.asText(), 1, Integer::sum));
      values.fields().forEachRemaining(entry -> {
        field.words.put(entry.getKey(), entry.getValue().asText());
        field.exactWords.put(entry.getKey(), times.get(entry.getValue().asText()) == 1);
      });
    }
    return field;
  }

  private static void mark(Node node, String[] path) {
    for (String step : path) {
      node = node.children.computeIfAbsent(step, name -> new Node());
    }
    node.read = true;
  }

  private static JsonNode at(JsonNode record, String[] path) {
    JsonNode node = record;
    for (String step : path) {
      node = node == null ? null : node.get(step);
    }
    return node;
  }

  private static void leftover(JsonNode record, Node tree, String prefix, Map<String, JsonNode> custom) {
    record.fields().forEachRemaining(entry -> {
      Node child = tree.children.get(entry.getKey());
      JsonNode value = entry.getValue();
      String path = prefix.isEmpty() ? entry.getKey() : prefix + entry.getKey();
      if (child == null) {
        custom.put(path, value);
      } else if (!child.read) {
        if (value.isObject() && !value.isEmpty()) {
          leftover(value, child, path + ".", custom);
        } else {
          custom.put(path, value);
        }
      }
    });
  }

  private static final class Mapper implements Processor<byte[], byte[], byte[], byte[]> {
    private final Map<String, Plan> plans;
    private final MessageDigest digest;
    private ProcessorContext<byte[], byte[]> context;

    Mapper(Map<String, Plan> plans) throws Exception {
      this.plans = plans;
      this.digest = MessageDigest.getInstance("MD5");
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
      this.context = context;
    }

    @Override
    public void process(Record<byte[], byte[]> raw) {
      String tenant = header(raw.headers(), "tenant");
      String connector = header(raw.headers(), "connector");
      String entity = header(raw.headers(), "entity");
      Plan plan = plans.get(connector + "/" + entity);
      try {
        byte[] event = event(plan, JSON.readTree(raw.value()), tenant, connector, entity, raw.timestamp());
        context.forward(new Record<>(raw.key(), event, raw.timestamp()), plan.entity);
      } catch (Exception problem) {
        throw new RuntimeException(problem);
      }
    }

    private static String header(Headers headers, String name) {
      return new String(headers.lastHeader(name).value(), StandardCharsets.UTF_8);
    }

    private byte[] event(Plan plan, JsonNode record, String tenant, String connector, String entity, long timestamp)
        throws Exception {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream(1024);
      Map<String, JsonNode> custom = new LinkedHashMap<>();
      List<String> absent = new ArrayList<>(0);
      leftover(record, plan.tree, "", custom);
      try (JsonGenerator out = FACTORY.createGenerator(bytes)) {
        out.writeStartObject();
        for (Field field : plan.fields) {
          out.writeFieldName(field.name);
          if (!field.members.isEmpty()) {
            members(out, field, record, custom, absent);
          } else if (field.isList) {
            list(out, field, record, custom, absent);
          } else {
            value(out, field, field.name, record, custom, absent);
          }
        }
        JsonNode key = at(record, plan.key);
        if (!key.isTextual() && !plan.keyIsMapped) {
          custom.put(String.join(".", plan.key), key);
        }
        RecordMetadata place = context.recordMetadata().get();
        out.writeObjectFieldStart("aam");
        out.writeStringField("event_id", eventId(place, timestamp));
        out.writeStringField("tenant_id", tenant);
        out.writeStringField("connection", connector);
        out.writeStringField("source_system", connector);
        out.writeStringField("source_entity", entity);
        out.writeStringField("source_id", key.asText());
        out.writeStringField("op", "upsert");
        out.writeNumberField("mapping_revision", plan.revision);
        out.writeNumberField("schema_version", plan.version);
        out.writeNullField("observed_at");
        out.writeStringField("emitted_at", Instant.now().truncatedTo(ChronoUnit.MICROS).toString());
        out.writeNumberField("confidence", 1.0);
        out.writeArrayFieldStart("provisional");
        out.writeEndArray();
        out.writeArrayFieldStart("absent");
        for (String name : absent) {
          out.writeString(name);
        }
        out.writeEndArray();
        out.writeObjectFieldStart("unconverted");
        out.writeEndObject();
        out.writeObjectFieldStart("raw");
        out.writeStringField("topic", place.topic());
        out.writeNumberField("partition", place.partition());
        out.writeNumberField("offset", place.offset());
        out.writeEndObject();
        out.writeObjectFieldStart("custom_fields");
        for (Map.Entry<String, JsonNode> entry : custom.entrySet()) {
          out.writeStringField(entry.getKey(), entry.getValue().toString());
        }
        out.writeEndObject();
        out.writeEndObject();
        out.writeEndObject();
      }
      return bytes.toByteArray();
    }

    private String eventId(RecordMetadata place, long timestamp) {
      String name = place.topic() + "\n" + place.partition() + "\n" + place.offset() + "\n" + timestamp + "\n0";
      return HexFormat.of().formatHex(digest.digest(name.getBytes(StandardCharsets.UTF_8)));
    }

    private static void list(
        JsonGenerator out, Field field, JsonNode record, Map<String, JsonNode> custom, List<String> absent)
        throws Exception {
      out.writeStartArray();
      if (field.op != null) {
        JsonNode value = at(record, field.path);
        if (value == null) {
          absent.add(field.name);
        } else if (value.isNull()) {
          custom.put(field.source, value);
        } else if (field.eachElement) {
          for (JsonNode element : value) {
            out.writeString(element.asText());
          }
        } else {
          out.writeString(value.asText());
        }
      }
      out.writeEndArray();
    }

    private static void members(
        JsonGenerator out, Field field, JsonNode record, Map<String, JsonNode> custom, List<String> absent)
        throws Exception {
      boolean found = false;
      for (Field member : field.members) {
        found |= member.op != null && at(record, member.path) != null;
      }
      out.writeStartArray();
      if (found) {
        out.writeStartObject();
        for (Field member : field.members) {
          out.writeFieldName(member.name);
          value(out, member, field.name + "[]." + member.name, record, custom, absent);
        }
        out.writeEndObject();
      }
      out.writeEndArray();
    }

    private static void value(
        JsonGenerator out, Field field, String target, JsonNode record, Map<String, JsonNode> custom,
        List<String> absent) throws Exception {
      JsonNode value = field.op == null ? null : at(record, field.path);
      if (value == null || value.isNull()) {
        if (field.op != null && value == null) {
          absent.add(target);
        }
        out.writeNull();
        return;
      }
      switch (field.op) {
        case "copy" -> copy(out, field, value, custom);
        case "upper" -> {
          String upper = value.asText().toUpperCase(Locale.ROOT);
          keepUnless(upper.toLowerCase(Locale.ROOT).equals(value.asText()), field, value, custom);
          out.writeString(upper);
        }
        case "epoch_seconds" -> out.writeString(Instant.ofEpochSecond(value.asLong()).toString());
        case "epoch_millis" -> out.writeString(Instant.ofEpochMilli(value.asLong()).toString());
        case "iso_time" -> {
          String moment = Instant.parse(value.asText()).truncatedTo(ChronoUnit.MICROS).toString();
          keepUnless(moment.equals(value.asText()), field, value, custom);
          out.writeString(moment);
        }
        case "iso_date" -> out.writeString(LocalDate.parse(value.asText()).toString());
        case "minor_units" -> {
          String code = at(record, field.currency).asText().toUpperCase(Locale.ROOT);
          int digits = Currency.getInstance(code).getDefaultFractionDigits();
          out.writeString(BigDecimal.valueOf(value.asLong(), digits).toPlainString());
        }
        case "enum" -> {
          keepUnless(field.exactWords.get(value.asText()), field, value, custom);
          out.writeString(field.words.get(value.asText()));
        }
        default -> throw new IllegalArgumentException("transform " + field.op);
      }
    }

    private static void copy(JsonGenerator out, Field field, JsonNode value, Map<String, JsonNode> custom)
        throws Exception {
      switch (field.kind) {
        case "string" -> {
          keepUnless(value.isTextual(), field, value, custom);
          out.writeString(value.isTextual() ? value.textValue() : value.toString());
        }
        case "long" -> out.writeNumber(value.asLong());
        case "double" -> out.writeNumber(value.asDouble());
        case "boolean" -> out.writeBoolean(value.asBoolean());
        case "decimal" -> out.writeString(value.decimalValue().toPlainString());
        default -> throw new IllegalArgumentException("kind " + field.kind);
      }
    }

    private static void keepUnless(boolean exact, Field field, JsonNode value, Map<String, JsonNode> custom) {
      if (!exact) {
        custom.put(field.source, value);
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    JsonNode job = JSON.readTree(new File(arguments[0]));
    Map<String, Plan> plans = new HashMap<>();
    for (JsonNode set : job.get("sets")) {
      plans.put(set.get("connector").asText() + "/" + set.get("entity").asText(), plan(set, job.get("entities")));
    }
    Topology topology = new Topology();
    topology.addSource("raw", job.get("raw_topic").asText());
    topology.addProcessor("canonicalize", () -> {
      try {
        return new Mapper(plans);
      } catch (Exception problem) {
        throw new RuntimeException(problem);
      }
    }, "raw");
    job.get("outputs").fields().forEachRemaining(
        output -> topology.addSink(output.getKey(), output.getValue().asText(), "canonicalize"));
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("group").asText());
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("bootstrap_servers").asText());
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, job.get("state").asText());
    properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    properties.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
    if (!job.get("commit_seconds").isNull()) {
      properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, (long) (job.get("commit_seconds").asDouble() * 1000));
    }
    KafkaStreams streams = new KafkaStreams(topology, properties);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
