package httpapi

import (
	"net/http"
	"regexp"
	"strings"

	"sallyport/client/sallyport"
)

func (c *call) orgInstances() error {
	page, err := c.page()
	if err != nil {
		return err
	}
	query := c.r.URL.Query()
	q := sallyport.InstanceQuery{Region: query.Get("region"), Tags: map[string]string{}}
	if q.Region != "" && !regexp.MustCompile(sallyport.AWSRegionPattern).MatchString(q.Region) {
		return sallyport.Errorf(sallyport.CodeInvalidRegion, "region must be an AWS region, such as us-east-2")
	}
	for _, tag := range query["tag"] {
		key, value, _ := strings.Cut(tag, "=")
		if key == "" || len(q.Tags) == instanceTagsMax {
			return sallyport.Errorf(sallyport.CodeInvalidTag, "tag must be Key=Value, or Key for any value, and is given %d times at most", instanceTagsMax)
		}
		q.Tags[key] = value
	}
	found, err := c.api.Administration.Instances(c.r.Context(), c.by, c.r.PathValue("org"), q, page)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, found)
	return nil
}

// instanceTagsMax is far below what EC2 takes of filters.
const instanceTagsMax = 20
