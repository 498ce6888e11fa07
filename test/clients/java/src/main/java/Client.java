import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/**
 * Apache's Java client, driven by the test: commands come as lines of JSON on standard input, each is answered by one line on
 * standard output. driver.ts says what the commands are; the judge is clients.test.ts.
 */
public final class Client {
    private static final Gson GSON = new Gson();
    private static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();

    private final ClientConfiguration configuration = configuration();
    private final Map<String, SimpleConsumer> simple = new HashMap<>();
    private final Map<String, List<Map<String, Object>>> pushed = new HashMap<>();
    private final Map<String, MessageView> received = new HashMap<>();
    private Producer producer;

    /** One line of the test; what a command does not need is null. */
    private static final class Command {
        String does;
        String name;
        String topic;
        List<String> topics;
        String group;
        String filter;
        boolean sql;
        String body;
        String tag;
        List<String> keys;
        Map<String, String> properties;
        String messageGroup;
        long deliverInMs;
        String end;
        int max;
        long invisibleMs;
        String messageId;
        int maxAttempts;
        boolean fail;
    }

    public static void main(String[] arguments) throws Exception {
        Client client = new Client();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject object = GSON.fromJson(line, JsonObject.class);
            Command command = GSON.fromJson(object, Command.class);
            command.does = object.get("do").getAsString();
            Map<String, Object> answer;
            try {
                answer = client.carryOut(command);
            } catch (Exception error) {
                answer = Map.of("error", String.valueOf(error));
            }
            System.out.println(GSON.toJson(answer));
            if (command.does.equals("close")) {
                // The push consumer would wait for its running poll.
                Runtime.getRuntime().halt(0);
            }
        }
    }

    private Map<String, Object> carryOut(Command command) throws Exception {
        switch (command.does) {
            case "producer":
                return startProducer(command);
            case "send":
                return Map.of("messageId", producer.send(messageOf(command)).getMessageId().toString());
            case "transaction":
                Transaction transaction = producer.beginTransaction();
                SendReceipt receipt = producer.send(messageOf(command), transaction);
                if (command.end.equals("commit")) {
                    transaction.commit();
                } else {
                    transaction.rollback();
                }
                return Map.of("messageId", receipt.getMessageId().toString());
            case "consumer":
                simple.put(command.name, PROVIDER.newSimpleConsumerBuilder()
                    .setClientConfiguration(configuration)
                    .setConsumerGroup(command.group)
                    .setAwaitDuration(Duration.ofSeconds(5))
                    .setSubscriptionExpressions(Collections.singletonMap(command.topic, expression(command)))
                    .build());
                return Map.of();
            case "receive":
                return receive(command);
            case "ack":
                simple.get(command.name).ack(received.get(command.messageId));
                return Map.of();
            case "nack":
                simple.get(command.name)
                    .changeInvisibleDuration(received.get(command.messageId), Duration.ofMillis(command.invisibleMs));
                return Map.of();
            case "push":
                return startPush(command);
            case "pushed":
                List<Map<String, Object>> messages = pushed.get(command.name);
                synchronized (messages) {
                    return Map.of("messages", new ArrayList<>(messages));
                }
            case "close":
                if (producer != null) {
                    producer.close();
                }
                for (SimpleConsumer consumer : simple.values()) {
                    consumer.close();
                }
                return Map.of();
            default:
                throw new IllegalArgumentException("There is no command " + command.does);
        }
    }

    private static ClientConfiguration configuration() {
        ClientConfigurationBuilder builder = ClientConfiguration.newBuilder()
            .setEndpoints(System.getenv("CLIENT_ENDPOINT"))
            .enableSsl("true".equals(System.getenv("CLIENT_TLS")))
            .setRequestTimeout(Duration.ofSeconds(15));
        String username = System.getenv("CLIENT_USERNAME");
        if (username != null) {
            builder.setCredentialProvider(new StaticSessionCredentialsProvider(username, System.getenv("CLIENT_PASSWORD")));
        }
        return builder.build();
    }

    private Map<String, Object> startProducer(Command command) throws Exception {
        ProducerBuilder builder = PROVIDER.newProducerBuilder()
            .setClientConfiguration(configuration)
            .setTopics(command.topics.toArray(new String[0]))
            .setTransactionChecker(view -> TransactionResolution.UNKNOWN);
        if (command.maxAttempts > 0) {
            builder.setMaxAttempts(command.maxAttempts);
        }
        producer = builder.build();
        return Map.of();
    }

    private static Message messageOf(Command command) {
        MessageBuilder builder = PROVIDER.newMessageBuilder()
            .setTopic(command.topic)
            .setBody(command.body.getBytes(StandardCharsets.UTF_8));
        if (command.tag != null) {
            builder.setTag(command.tag);
        }
        if (command.keys != null) {
            builder.setKeys(command.keys.toArray(new String[0]));
        }
        if (command.properties != null) {
            command.properties.forEach(builder::addProperty);
        }
        if (command.messageGroup != null) {
            builder.setMessageGroup(command.messageGroup);
        }
        if (command.deliverInMs > 0) {
            builder.setDeliveryTimestamp(System.currentTimeMillis() + command.deliverInMs);
        }
        return builder.build();
    }

    private static FilterExpression expression(Command command) {
        return new FilterExpression(command.filter, command.sql ? FilterExpressionType.SQL92 : FilterExpressionType.TAG);
    }

    private Map<String, Object> receive(Command command) throws Exception {
        List<Map<String, Object>> messages = new ArrayList<>();
        for (MessageView view : simple.get(command.name).receive(command.max, Duration.ofMillis(command.invisibleMs))) {
            received.put(view.getMessageId().toString(), view);
            messages.add(shown(view));
        }
        return Map.of("messages", messages);
    }

    private Map<String, Object> startPush(Command command) throws Exception {
        List<Map<String, Object>> messages = new ArrayList<>();
        pushed.put(command.name, messages);
        PushConsumer consumer = PROVIDER.newPushConsumerBuilder()
            .setClientConfiguration(configuration)
            .setConsumerGroup(command.group)
            .setSubscriptionExpressions(Collections.singletonMap(command.topic, expression(command)))
            .setConsumptionThreadCount(4)
            .setMessageListener(view -> {
                synchronized (messages) {
                    messages.add(shown(view));
                }
                return command.fail ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
            })
            .build();
        return Map.of();
    }

    private static Map<String, Object> shown(MessageView view) {
        ByteBuffer body = view.getBody();
        byte[] bytes = new byte[body.remaining()];
        body.get(bytes);
        Map<String, Object> message = new LinkedHashMap<>();
        message.put("messageId", view.getMessageId().toString());
        message.put("body", new String(bytes, StandardCharsets.UTF_8));
        message.put("tag", view.getTag().orElse(""));
        message.put("keys", new ArrayList<>(view.getKeys()));
        message.put("properties", view.getProperties());
        message.put("attempt", view.getDeliveryAttempt());
        return message;
    }
}
