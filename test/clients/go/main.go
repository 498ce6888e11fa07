// Apache's Go client, driven by the test: commands come as lines of JSON on standard input, each is answered by one line on
// standard output. ../driver.ts says what the commands are; the judge is ../clients.test.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

type command struct {
	Do           string            `json:"do"`
	Name         string            `json:"name"`
	Topic        string            `json:"topic"`
	Topics       []string          `json:"topics"`
	Group        string            `json:"group"`
	Filter       string            `json:"filter"`
	Sql          bool              `json:"sql"`
	Body         string            `json:"body"`
	Tag          string            `json:"tag"`
	Keys         []string          `json:"keys"`
	Properties   map[string]string `json:"properties"`
	MessageGroup string            `json:"messageGroup"`
	DeliverInMs  int64             `json:"deliverInMs"`
	End          string            `json:"end"`
	Max          int32             `json:"max"`
	InvisibleMs  int64             `json:"invisibleMs"`
	MessageId    string            `json:"messageId"`
	MaxAttempts  int32             `json:"maxAttempts"`
	Fail         bool              `json:"fail"`
}

type message struct {
	MessageId  string            `json:"messageId"`
	Body       string            `json:"body"`
	Tag        string            `json:"tag"`
	Keys       []string          `json:"keys"`
	Properties map[string]string `json:"properties"`
	Attempt    int32             `json:"attempt"`
}

type answer struct {
	Error     string    `json:"error,omitempty"`
	MessageId string    `json:"messageId,omitempty"`
	Messages  []message `json:"messages"`
}

type pushed struct {
	consumer rmq.PushConsumer
	mutex    sync.Mutex
	messages []message
}

var (
	config   rmq.Config
	producer rmq.Producer
	simple   = map[string]rmq.SimpleConsumer{}
	push     = map[string]*pushed{}
	received = map[string]*rmq.MessageView{}
)

func main() {
	rmq.EnableSsl = os.Getenv("CLIENT_TLS") == "true"
	config = rmq.Config{
		Endpoint: os.Getenv("CLIENT_ENDPOINT"),
		Credentials: &credentials.SessionCredentials{
			AccessKey:    os.Getenv("CLIENT_USERNAME"),
			AccessSecret: os.Getenv("CLIENT_PASSWORD"),
		},
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 16<<20)
	for lines.Scan() {
		var asked command
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		given, err := carryOut(asked)
		if err != nil {
			given.Error = err.Error()
		}
		text, _ := json.Marshal(given)
		fmt.Println(string(text))
		if asked.Do == "close" {
			return
		}
	}
}

func carryOut(asked command) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch asked.Do {
	case "producer":
		return answer{}, startProducer(asked)
	case "send":
		receipts, err := producer.Send(ctx, messageOf(asked))
		if err != nil {
			return answer{}, err
		}
		return answer{MessageId: receipts[0].MessageID}, nil
	case "transaction":
		transaction := producer.BeginTransaction()
		receipts, err := producer.SendWithTransaction(ctx, messageOf(asked), transaction)
		if err != nil {
			return answer{}, err
		}
		if asked.End == "commit" {
			err = transaction.Commit()
		} else {
			err = transaction.RollBack()
		}
		return answer{MessageId: receipts[0].MessageID}, err
	case "consumer":
		return answer{}, startConsumer(asked)
	case "receive":
		return receive(ctx, asked)
	case "ack":
		return answer{}, simple[asked.Name].Ack(ctx, received[asked.MessageId])
	case "nack":
		return answer{}, simple[asked.Name].ChangeInvisibleDuration(received[asked.MessageId], milliseconds(asked.InvisibleMs))
	case "push":
		return answer{}, startPush(asked)
	case "pushed":
		one := push[asked.Name]
		one.mutex.Lock()
		defer one.mutex.Unlock()
		return answer{Messages: append([]message{}, one.messages...)}, nil
	case "close":
		return answer{}, closeAll()
	}
	return answer{}, fmt.Errorf("there is no command %q", asked.Do)
}

func startProducer(asked command) error {
	options := []rmq.ProducerOption{
		rmq.WithTopics(asked.Topics...),
		rmq.WithTransactionChecker(&rmq.TransactionChecker{
			Check: func(*rmq.MessageView) rmq.TransactionResolution { return rmq.UNKNOWN },
		}),
	}
	if asked.MaxAttempts > 0 {
		options = append(options, rmq.WithMaxAttempts(asked.MaxAttempts))
	}
	started, err := rmq.NewProducer(&config, options...)
	if err != nil {
		return err
	}
	if err := started.Start(); err != nil {
		return err
	}
	producer = started
	return nil
}

func messageOf(asked command) *rmq.Message {
	made := &rmq.Message{Topic: asked.Topic, Body: []byte(asked.Body)}
	if asked.Tag != "" {
		made.SetTag(asked.Tag)
	}
	if len(asked.Keys) > 0 {
		made.SetKeys(asked.Keys...)
	}
	for name, value := range asked.Properties {
		made.AddProperty(name, value)
	}
	if asked.MessageGroup != "" {
		made.SetMessageGroup(asked.MessageGroup)
	}
	if asked.DeliverInMs > 0 {
		made.SetDelayTimestamp(time.Now().Add(milliseconds(asked.DeliverInMs)))
	}
	return made
}

func expressions(asked command) map[string]*rmq.FilterExpression {
	kind := rmq.TAG
	if asked.Sql {
		kind = rmq.SQL92
	}
	return map[string]*rmq.FilterExpression{asked.Topic: rmq.NewFilterExpressionWithType(asked.Filter, kind)}
}

func startConsumer(asked command) error {
	own := config
	own.ConsumerGroup = asked.Group
	consumer, err := rmq.NewSimpleConsumer(&own,
		rmq.WithSimpleAwaitDuration(5*time.Second),
		rmq.WithSimpleSubscriptionExpressions(expressions(asked)),
	)
	if err != nil {
		return err
	}
	if err := consumer.Start(); err != nil {
		return err
	}
	simple[asked.Name] = consumer
	return nil
}

func receive(ctx context.Context, asked command) (answer, error) {
	views, err := simple[asked.Name].Receive(ctx, asked.Max, milliseconds(asked.InvisibleMs))
	if status, ok := rmq.AsErrRpcStatus(err); ok && status.GetCode() == 40401 {
		err = nil // MESSAGE_NOT_FOUND: nothing came
	}
	given := answer{Messages: []message{}}
	for _, view := range views {
		received[view.GetMessageId()] = view
		given.Messages = append(given.Messages, shown(view))
	}
	return given, err
}

func startPush(asked command) error {
	own := config
	own.ConsumerGroup = asked.Group
	one := &pushed{}
	consumer, err := rmq.NewPushConsumer(&own,
		rmq.WithPushSubscriptionExpressions(expressions(asked)),
		rmq.WithPushConsumptionThreadCount(4),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{
			Consume: func(view *rmq.MessageView) rmq.ConsumerResult {
				one.mutex.Lock()
				defer one.mutex.Unlock()
				one.messages = append(one.messages, shown(view))
				if asked.Fail {
					return rmq.FAILURE
				}
				return rmq.SUCCESS
			},
		}),
	)
	if err != nil {
		return err
	}
	if err := consumer.Start(); err != nil {
		return err
	}
	one.consumer = consumer
	push[asked.Name] = one
	return nil
}

func shown(view *rmq.MessageView) message {
	tag := ""
	if view.GetTag() != nil {
		tag = *view.GetTag()
	}
	return message{
		MessageId:  view.GetMessageId(),
		Body:       string(view.GetBody()),
		Tag:        tag,
		Keys:       view.GetKeys(),
		Properties: view.GetProperties(),
		Attempt:    view.GetDeliveryAttempt(),
	}
}

// The push consumer waits for its running poll before it stops: the process ends without that.
func closeAll() error {
	if producer != nil {
		if err := producer.GracefulStop(); err != nil {
			return err
		}
	}
	for _, consumer := range simple {
		if err := consumer.GracefulStop(); err != nil {
			return err
		}
	}
	return nil
}

func milliseconds(count int64) time.Duration { return time.Duration(count) * time.Millisecond }
